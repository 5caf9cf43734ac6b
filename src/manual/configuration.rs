//! The configuration.
//!
//! A key can be set in the file, by a variable and by a flag. Flags win over variables, variables
//! over the file, the file over the defaults. `vendorwatch config check` finds every fault with
//! its line, and what `run` would refuse besides: words that name no vendor, signatures and packs
//! that cannot be used, addresses, processors, a filter that does not compile. It opens no
//! interface. `vendorwatch config show` prints what is in effect, each value with where it comes
//! from. There is no file that is read unasked: `--config`, or `VENDORWATCH_CONFIG`, names it.
//!
//! Unknown keys are faults; of variables that begin with `VENDORWATCH_` and set nothing there is a
//! warning. Lists are arrays in the file, separated by commas in a variable, and repeated or
//! separated by commas as flags.
//!
//! # The default file
//!
//! `vendorwatch generate config` prints it:
//!
//! ```toml
#![doc = include_str!("../../systemd/vendorwatch.toml")]
//! ```
