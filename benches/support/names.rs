//! Made-up names in the proportions of public block lists: registered names of one or two words,
//! names below shared platforms, and names that a program drew.

use std::fmt::Write as _;

/// A stream of names; equal seeds give equal streams.
pub(crate) struct Names {
    state: u64,
}

impl Names {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self { state: seed ^ 0x9e37_79b9_7f4a_7c15 }
    }

    pub(crate) fn next_name(&mut self) -> String {
        let mut name = String::with_capacity(32);
        match self.below(10) {
            0..=4 => self.registered(&mut name),
            5..=6 => {
                self.words(&mut name, 1);
                name.push('.');
                self.registered(&mut name);
            }
            7 => {
                self.words(&mut name, 2);
                let platform = self.below(400);
                let _ = write!(name, ".platform{platform}.com");
            }
            _ => {
                let len = 8 + self.below(10);
                for _ in 0..len {
                    let at = self.below(36);
                    name.push(char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[at]));
                }
                self.top(&mut name);
            }
        }
        name
    }

    fn registered(&mut self, name: &mut String) {
        let words = 1 + self.below(2);
        self.words(name, words + 1);
        if self.below(3) == 0 {
            name.push_str(&self.below(10_000).to_string());
        }
        self.top(name);
    }

    fn words(&mut self, name: &mut String, words: usize) {
        const HEADS: [&str; 32] = [
            "ad", "be", "cal", "di", "el", "fo", "gra", "ho", "in", "jo", "kra", "lu", "mar",
            "net", "on", "pla", "qui", "ro", "sta", "tra", "ul", "vi", "web", "xe", "yo", "za",
            "shop", "cloud", "my", "go", "best", "free",
        ];
        const TAILS: [&str; 32] = [
            "na", "ren", "ton", "ly", "ster", "x", "ma", "lin", "data", "ds", "ker", "box", "ra",
            "go", "vid", "line", "mo", "ne", "per", "qa", "rex", "so", "ti", "um", "vo", "wo",
            "ya", "zen", "app", "pix", "track", "cdn",
        ];
        for _ in 0..words {
            name.push_str(HEADS[self.below(HEADS.len())]);
            name.push_str(TAILS[self.below(TAILS.len())]);
        }
    }

    fn top(&mut self, name: &mut String) {
        const TOPS: [&str; 16] = [
            "com", "com", "com", "com", "com", "net", "org", "de", "ru", "cn", "xyz", "info",
            "top", "co.uk", "com.br", "online",
        ];
        name.push('.');
        name.push_str(TOPS[self.below(TOPS.len())]);
    }

    /// xorshift64*, which is even enough for names.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let drawn = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap_or(0) % bound
    }
}
