"""What we remember: tables, exact types, and one file a noun.

Facts are only added; balances are projections of the journal that can be dropped and rebuilt.
"""
