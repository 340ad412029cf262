"""The live page: server-rendered, complete without scripts, and kept live by one small script."""
