//! The one integration binary.

mod rooms;
