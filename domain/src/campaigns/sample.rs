//! Who gets which variant: by the keyed hash of their address (C-183), the same as in a workflow's split. Pure.
//!
//! Whether somebody is in the sample and which variant they get hang on two buckets, which are independent of each other.

use carillon_entities::ids::CampaignId;

use super::CampaignVariant;
use crate::keys::AddressHash;
use crate::workflows::{Variant, allot, bucket, variant_of};

/// The two splits of a campaign.
const SAMPLE: &str = "sample";
const VARIANT: &str = "variant";

/// Where somebody is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// They get this variant.
    Variant(String),
    /// They get the one that is chosen.
    Rest,
}

/// Puts people into variants.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    campaign: CampaignId,
    sample_bp: Option<u32>,
    variants: Vec<Variant>,
}

impl Sampler {
    pub(super) fn new(campaign: CampaignId, variants: &[CampaignVariant], sample_bp: Option<u32>) -> Self {
        let split = |one: &CampaignVariant| Variant {
            label: one.label.clone(),
            weight_bp: one.weight_bp,
            buckets: Vec::new(),
            next: None,
        };
        let mut variants: Vec<Variant> = variants.iter().map(split).collect();
        if let [_, _, ..] = variants.as_slice() {
            allot(&[], &mut variants);
        }
        Self { campaign, sample_bp, variants }
    }

    /// True where it hangs on the address.
    pub(super) fn asks_address(&self) -> bool {
        self.variants.len() > 1
    }

    /// Where somebody is put; whoever has no address gets nothing, and so it is no matter where.
    pub(super) fn place(&self, address: Option<AddressHash>) -> Place {
        let first = || self.variants.first().map_or(String::new(), |one| one.label.clone());
        let Some(address) = address.filter(|_| self.asks_address()) else { return Place::Variant(first()) };
        if self.sample_bp.is_some_and(|share| bucket(self.campaign.0, SAMPLE, address) >= share) {
            return Place::Rest;
        }
        let variant = variant_of(&self.variants, bucket(self.campaign.0, VARIANT, address));
        Place::Variant(variant.map_or_else(first, |one| one.label.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use carillon_entities::ids::TemplateId;

    fn variant(label: &str, weight_bp: u32) -> CampaignVariant {
        CampaignVariant { label: label.to_owned(), template: TemplateId(Uuid::nil()), weight_bp }
    }

    fn address(n: u64) -> AddressHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        AddressHash(hash)
    }

    #[test]
    fn c183_a_sample_is_as_large_as_it_should_be_and_the_same_each_time() {
        let variants = [variant("a", 5_000), variant("b", 3_000), variant("c", 2_000)];
        let sampler = Sampler::new(CampaignId(Uuid::from_u128(7)), &variants, Some(2_000));
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        for n in 0..100_000 {
            let place = sampler.place(Some(address(n)));
            assert_eq!(place, sampler.place(Some(address(n))));
            let label = if let Place::Variant(label) = place { label } else { "rest".to_owned() };
            *counts.entry(label).or_default() += 1.0;
        }
        // Pearson's statistic with three degrees of freedom is over 16.3 once in a thousand.
        let expected = [("rest", 80_000.0), ("a", 10_000.0), ("b", 6_000.0), ("c", 4_000.0)];
        let statistic: f64 = expected.iter().map(|(label, n)| (counts[*label] - n).powi(2) / n).sum();
        assert!(statistic < 16.3, "{counts:?}");
    }

    #[test]
    fn one_variant_is_everybodys_and_without_a_sample_nobody_rests() {
        let one = Sampler::new(CampaignId(Uuid::from_u128(7)), &[variant("only", 10_000)], None);
        let two = Sampler::new(CampaignId(Uuid::from_u128(7)), &[variant("a", 5_000), variant("b", 5_000)], None);
        assert!(!one.asks_address() && two.asks_address());
        for n in 0..1_000 {
            assert_eq!(one.place(Some(address(n))), Place::Variant("only".to_owned()));
            assert_ne!(two.place(Some(address(n))), Place::Rest);
        }
    }
}
