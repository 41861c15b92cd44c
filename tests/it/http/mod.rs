//! Routes, tokens, headers, refusals, and our own endpoints.
