"""The kernel's process: how it is left for another one, and what of it comes along.

`rest_of_cell` says where in a cell the request stands, `leaving` is the old process, `passage` what it hands to the new
one, and `starting` how that is started. `shell_state` and `shell_settings` are IPython's own, `live_widgets` what is on
screen, `bystanders` what runs beside, `interrupts` when one may end what is done. `connections` are the system's view
of who is connected, `kernel_versions` every private name of ipykernel.
"""
