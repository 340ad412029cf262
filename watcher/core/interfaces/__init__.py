"""What a source, a channel and a store must promise: one module each, documented here and only
here.
"""
