"""The system stream: facts about the ledger itself, its access policy and its keys."""
