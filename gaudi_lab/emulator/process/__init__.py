"""What is decided for the whole process, before any tensor exists.

`finder` and `autoload` say which bridge is found and when it loads; `release` and `older_signatures` which release it
is; `mode` says whether it is lazy or eager; `flags` what the environment variables say, with the bridge's defaults by
release in `flag_defaults.json`; `migration` whether GPU migration is asked for; `absent` what of the
bridge is not there.
"""
