//! Which vendors an operator reports on. Detection never asks: a change of policy needs no new
//! traffic, only a new look at the findings that are there.

use super::{Listing, Regulates, Status, Strength, Vendor};

/// A choice of vendors and strengths. The default takes the vendors that are on by default.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Selection {
    /// Vendor ids that are taken whatever their listings say.
    pub enable: Vec<String>,
    /// Vendor ids that are left out, whatever else says otherwise.
    pub disable: Vec<String>,
    /// Listing ids (`us-ndaa-2018-1634`) or jurisdictions (`US`); empty: all.
    pub listings: Vec<String>,
    /// What a listing must speak about; empty: anything.
    pub regulates: Vec<Regulates>,
    /// The weakest indicator that is reported.
    pub min_strength: Strength,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            enable: Vec::new(),
            disable: Vec::new(),
            listings: Vec::new(),
            regulates: Vec::new(),
            min_strength: Strength::Weak,
        }
    }
}

impl Selection {
    /// Is a finding of this vendor and strength reported?
    #[must_use]
    pub fn takes(&self, vendor: &Vendor, strength: Strength) -> bool {
        strength >= self.min_strength && self.takes_vendor(vendor)
    }

    /// Is the vendor reported on at all?
    #[must_use]
    pub fn takes_vendor(&self, vendor: &Vendor) -> bool {
        let named = |ids: &[String]| ids.iter().any(|id| **id == *vendor.id);
        if named(&self.disable) {
            return false;
        }
        if named(&self.enable) {
            return true;
        }
        let chosen = self.listings.is_empty() && self.regulates.is_empty()
            || self.listings_of(vendor).next().is_some();
        vendor.default_enabled && chosen
    }

    /// The listings of `vendor` that this choice rests on. A repealed or superseded listing, or a
    /// proposal, is a fact about the vendor but no reason to report on it.
    pub fn listings_of<'v>(&self, vendor: &'v Vendor) -> impl Iterator<Item = &'v Listing> {
        vendor.listings.iter().filter(|listing| {
            matches!(listing.status, Status::InForce | Status::NonBinding)
                && (self.listings.is_empty()
                    || self
                        .listings
                        .iter()
                        .any(|word| **word == *listing.id || *word == listing.jurisdiction))
                && (self.regulates.is_empty()
                    || self.regulates.iter().any(|word| listing.regulates.contains(word)))
        })
    }

    /// The words of this selection that no vendor of `vendors` answers to: most likely misspelt.
    #[must_use]
    pub fn unknown_words<'s>(&'s self, vendors: &[Vendor]) -> Vec<&'s str> {
        let ids = self
            .enable
            .iter()
            .chain(&self.disable)
            .filter(|id| !vendors.iter().any(|vendor| *vendor.id == ***id));
        let listings = self.listings.iter().filter(|word| {
            !vendors
                .iter()
                .flat_map(|vendor| &vendor.listings)
                .any(|listing| *listing.id == ***word || listing.jurisdiction == **word)
        });
        ids.chain(listings).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::embedded;

    fn vendor() -> Vendor {
        let mut vendor = embedded::files()
            .unwrap()
            .into_iter()
            .map(|file| file.vendor.record)
            .find(|vendor| &*vendor.id == "kaspersky")
            .unwrap();
        vendor.listings.retain(|listing| &*listing.id == "us-ndaa-2018-1634");
        vendor
    }

    fn selection(change: impl FnOnce(&mut Selection)) -> Selection {
        let mut selection = Selection::default();
        change(&mut selection);
        selection
    }

    #[test]
    fn a_vendor_is_taken_by_what_its_listings_say() {
        let vendor = vendor();
        let takes = |selection: Selection| selection.takes_vendor(&vendor);
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(takes(Selection::default()));
        assert!(takes(selection(|s| s.listings = words(&["EU", "US"]))));
        assert!(takes(selection(|s| s.listings = words(&["us-ndaa-2018-1634"]))));
        assert!(!takes(selection(|s| s.listings = words(&["EU"]))));
        assert!(takes(selection(|s| s.regulates = vec![Regulates::Use])));
        assert!(!takes(selection(|s| s.regulates = vec![Regulates::Export])));
        assert!(!takes(selection(|s| s.disable = words(&["kaspersky"]))));
        assert!(takes(selection(|s| {
            s.listings = words(&["EU"]);
            s.enable = words(&["kaspersky"]);
        })));
    }

    #[test]
    fn a_listing_that_no_longer_holds_selects_nobody() {
        let mut vendor = vendor();
        vendor.listings[0].status = Status::Repealed;
        let us = selection(|s| s.listings = vec!["US".into()]);
        assert!(!us.takes_vendor(&vendor));
        assert!(Selection::default().takes_vendor(&vendor));
    }

    #[test]
    fn strength_is_a_threshold() {
        let vendor = vendor();
        let moderate = selection(|s| s.min_strength = Strength::Moderate);
        assert!(!moderate.takes(&vendor, Strength::Weak));
        assert!(moderate.takes(&vendor, Strength::Moderate));
        assert!(moderate.takes(&vendor, Strength::Strong));
    }

    #[test]
    fn misspelt_words_are_found() {
        let odd = selection(|s| {
            s.enable = vec!["kaspersky".into(), "kapersky".into()];
            s.listings = vec!["US".into(), "UK".into()];
        });
        assert_eq!(odd.unknown_words(&[vendor()]), ["kapersky", "UK"]);
    }
}
