//! Events: what contacts did.
