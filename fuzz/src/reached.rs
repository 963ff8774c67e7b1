//! How far a run has come: marks, by which a harness that has lost its way in is found out.

use std::collections::BTreeSet;

/// The marks of one run, or of several together.
#[derive(Clone, Debug, Default)]
pub struct Reached(BTreeSet<String>);

impl Reached {
    /// This place was come to.
    pub fn mark(&mut self, place: impl Into<String>) {
        self.0.insert(place.into());
    }

    /// All that another run has come to.
    pub fn join(&mut self, other: Reached) {
        self.0.extend(other.0);
    }

    /// Those of `places` that were not come to.
    pub fn missed<'a>(&self, places: &[&'a str]) -> Vec<&'a str> {
        places.iter().copied().filter(|place| !self.0.contains(*place)).collect()
    }

    /// The marks, in the order of the alphabet.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
