//! The one integration binary.

mod corpus;
mod live;
mod rooms;
mod signatures;
mod support;
