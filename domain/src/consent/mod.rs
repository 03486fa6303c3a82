//! Consent: the ledger, its projection, suppressions and the one gate.
