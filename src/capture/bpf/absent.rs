//! A build without in-kernel programs: nothing can be loaded, so no value of these types exists.

use core::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;

use super::{Control, Exchange, Setup, Skipped};
use crate::net::{Pair, Path, Wish};

#[derive(Debug)]
pub struct Program(Infallible);

#[derive(Debug)]
pub struct Xdp(Infallible);

#[derive(Debug)]
pub struct Maps(Infallible);

fn absent() -> io::Error {
    io::Error::other("this build has no in-kernel programs (feature `xdp`)")
}

impl Program {
    pub fn fanout() -> io::Result<Self> {
        Err(absent())
    }

    pub fn filter(_setup: &Setup) -> io::Result<(Self, Maps)> {
        Err(absent())
    }

    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        match self.0 {}
    }
}

impl Xdp {
    pub fn attach(_interface: u32, _setup: &Setup) -> io::Result<(Self, Maps)> {
        Err(absent())
    }

    pub fn move_to(&mut self, _interface: u32) -> io::Result<()> {
        match self.0 {}
    }
}

impl Maps {
    pub fn try_clone(&self) -> io::Result<Self> {
        match self.0 {}
    }
}

impl Control for Maps {
    fn skipped(&self) -> io::Result<Skipped> {
        match self.0 {}
    }

    fn wish(&mut self, _path: &Path, _wish: Wish) {
        match self.0 {}
    }

    fn watch(&mut self, _pair: Pair) {
        match self.0 {}
    }

    fn unwatch(&mut self, _pair: Pair) {
        match self.0 {}
    }

    fn exchanges(&mut self) -> (Vec<Exchange>, usize) {
        match self.0 {}
    }
}
