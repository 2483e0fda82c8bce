"""The types of fields: each has one grammar, one code for what is no such word, and one sentence that says what it must be."""
