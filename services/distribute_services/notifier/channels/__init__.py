"""The ways to reach a person, one file each. What they have in common is `notifier.channel.Channel`.

A channel is made of its settings and, if it keeps anything, a folder of its own. Making one does no I/O; it
connects when it first sends, so a homeserver that is down at the start delays nobody else.
"""
