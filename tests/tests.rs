//! The one integration binary.

mod corpus;
mod live;
mod rooms;
mod support;
