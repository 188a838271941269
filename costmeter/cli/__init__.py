"""People come in: one file a command; every error is one line on stderr.

Exit codes: 0 done; 1 a check says no, or part of the input was refused; 2 nothing could be done with this input.
"""
