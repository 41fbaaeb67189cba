"""A real federation with authenticated nodes, an authenticated researcher, and no code but the installed one.

keys        the public keys of admitted nodes, and the client of the study that each is
front_door  a filter of requests to Flower's SuperLink: nodes on one port, the researcher on another
account     the researcher's token, without which no run can be started
superlink   `python -m fedrobust.deployment.superlink`, the coordinator
supernode   `python -m fedrobust.deployment.supernode`, a hospital's node
executor    starts the apps of both
app         runs the installed app, whatever was sent
bundle      compares a sent app with the installed one
"""
