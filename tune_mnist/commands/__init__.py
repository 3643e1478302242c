"""The command lines: each module is one command of `tune-mnist`; `options` is what they share."""
