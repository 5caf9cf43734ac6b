//! The one integration binary.

mod corpus;
mod rooms;
mod support;
