"""A real federation, closed to strangers: who may be a node, who may start a run, and what runs at all.

keys        whose keys are admitted as nodes, and which client of the study each is
front_door  what reaches Flower's SuperLink: the nodes' calls on one port, the researcher's on another
account     the token without which nobody starts a run
superlink   `python -m fedrobust.deployment.superlink`, the coordinator
supernode   `python -m fedrobust.deployment.supernode`, a hospital
executor    starts the apps of both
app         runs an app: the installed one, whatever was sent
bundle      tells whether an app that was sent is the installed one
"""
