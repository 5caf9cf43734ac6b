//! What leaves the program: metrics, events, pages, and findings as text.

pub mod findings;
