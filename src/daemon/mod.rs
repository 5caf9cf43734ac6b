//! What makes a process of the parts: workers and the correlator behind them, over files or live;
//! reload, shutdown, privileges.

pub mod replay;
