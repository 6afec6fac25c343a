"""Where messages come from: whether one is of AWS, of our topics and accounts, before anything follows from it.

Legacy notifications are signed by SNS. EventBridge signs nothing: who may put its events into the queue is for the
queue's policy to say, and here only their account is looked at.
"""

from consumers.marketplace.origin.certificates import SigningCertificates

__all__ = ["SigningCertificates"]
