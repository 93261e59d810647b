"""What an HPU graph cannot hold, noticed at its capture.

`call_arguments` and `object_state` read what a call is given and what hangs on it, `operators_seen` what it does on the
device and on the host. `watched_call` puts them together around one call and gives the verdict, in the words of
`graph_refusals`. `premises` is what must still hold at a replay. `graph_check` compares a replay with a plain call,
`open_captures` clears up after an error.
"""
