"""A real federation with authenticated nodes, an authenticated researcher, and no code but the installed one.

What `fedrobust deploy` does:

initialise     writes the folders of the server and of every site
folders        what is in them; `folder_file` reads their settings, `pages` writes their instructions
addresses      of the server: how they are written, and where it listens
server_study   the study of a server, from one that may have been simulated
deployable     which studies are refused
certificates   X.509 certificates and key pairs
inspection     checks the folders
renewal        renews certificates and keys
ledger         makes the ledger of a site's privacy budget
starting       starts the server or a node from its folder
knock          a site asks whether it is admitted, before its node starts
control        starts a run at a running server, and follows it
dry_run        tries a deployment on one machine; `processes` are ended by who started them

What runs then:

superlink      `python -m fedrobust.deployment.superlink`, the coordinator
supernode      `python -m fedrobust.deployment.supernode`, a hospital's node
keys           the public keys of admitted nodes, and the client of the study that each is
front_door     a filter of requests to Flower's SuperLink: nodes on one port, the researcher on another
handshake      logs why a site does not trust the server
account        the researcher's token, without which no run can be started
executor       starts the apps of both
app            runs the installed app, whatever was sent
bundle         compares a sent app with the installed one
"""
