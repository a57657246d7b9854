"""The training data's generator: conversations written by grammars, split by skill."""
