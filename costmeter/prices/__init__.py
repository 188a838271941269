"""The price book as data: every tariff that DeepSeek has had, with source, date checked and doubts."""
