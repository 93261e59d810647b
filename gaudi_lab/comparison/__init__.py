"""Many settings side by side: what wins, by how much, from how many calls on.

`candidates` are the settings to try, as `written_settings` reads them, and `plan` how; `limits` are how long and with
how much disk, which `bounds` watches. `subject` is the protocol of what is tried: put settings, run, outputs. `methods`
try candidates in this process, in a new one each or on a cluster, and `measuring` is what all do with one candidate.
They write `records`, one JSON line each, and `folding` makes the result of them: a `result` of `row`s. `evidence`
compares outputs, `noise` says which differences count, `whereabouts` where it ran; `script` writes the code that has
the winner's settings.

Nothing here knows models, Trainers or pipelines: `gaudi_lab.workbench.subjects` does.
"""
