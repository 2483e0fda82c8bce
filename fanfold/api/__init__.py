"""The public contract of fanfold, declared once: what may be asked, what is answered, and what the words mean.

It imports nothing of ours, and everybody may import it: the client, the doors of both sides, the gateway, the documents.
"""
