//! Who gets which variant (C-183): an address falls into one of 10,000 buckets for ever, and each variant owns as many
//! buckets as it has basis points. Pure.
//!
//! A bucket belongs to the endpoint and not to the profile, so two profiles with one address see one variant (A3.9). When
//! weights change, buckets move only from variants that shrink to variants that grow: as few as can be.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};

use uuid::Uuid;

use super::{BASIS_POINTS, Variant};
use crate::keys::AddressHash;

/// The bucket of an address in a split of a workflow, or of a campaign. The hash of the address is keyed, so nobody can choose their bucket.
pub fn bucket(subject: Uuid, node: &str, address: AddressHash) -> u32 {
    let mut context = Context::new(&SHA256);
    context.update(b"carillon/1/split/");
    context.update(subject.as_bytes());
    context.update(node.as_bytes());
    context.update(&[0]);
    context.update(address.as_bytes());
    let digest = context.finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    // 2^64 buckets onto 10,000: no bucket is likelier by more than one in 10^15.
    u32::try_from(u64::from_be_bytes(first) % u64::from(BASIS_POINTS)).unwrap_or(0)
}

/// The variant that owns a bucket.
pub fn variant_of(variants: &[Variant], bucket: u32) -> Option<&Variant> {
    variants.iter().find(|variant| variant.buckets.iter().any(|(from, to)| (*from..*to).contains(&bucket)))
}

/// Gives the variants of a new version their buckets, moving as few as possible from those they had before.
pub fn allot(before: &[Variant], variants: &mut [Variant]) {
    let mut owner: Vec<Option<usize>> = vec![None; BASIS_POINTS as usize];
    let places: HashMap<&str, usize> =
        variants.iter().enumerate().map(|(place, variant)| (variant.label.as_str(), place)).collect();
    let mut left: Vec<u32> = variants.iter().map(|variant| variant.weight_bp).collect();
    for variant in before {
        let Some(place) = places.get(variant.label.as_str()) else { continue };
        for bucket in variant.buckets.iter().flat_map(|(from, to)| *from..*to) {
            let Some(slot) = owner.get_mut(bucket as usize) else { continue };
            if left[*place] > 0 {
                left[*place] -= 1;
                *slot = Some(*place);
            }
        }
    }
    let mut growing = 0;
    for slot in owner.iter_mut().filter(|slot| slot.is_none()) {
        while growing < left.len() && left[growing] == 0 {
            growing += 1;
        }
        if let Some(left) = left.get_mut(growing) {
            *left -= 1;
            *slot = Some(growing);
        }
    }
    for (place, variant) in variants.iter_mut().enumerate() {
        variant.buckets = ranges(&owner, place);
    }
}

/// The buckets of a place, as half-open ranges.
fn ranges(owner: &[Option<usize>], place: usize) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for (bucket, _) in (0u32..).zip(owner).filter(|(_, owner)| **owner == Some(place)) {
        match ranges.last_mut() {
            Some((_, to)) if *to == bucket => *to += 1,
            _ => ranges.push((bucket, bucket + 1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variants(weights: &[u32]) -> Vec<Variant> {
        let variant = |(place, weight): (usize, &u32)| Variant {
            label: format!("v{place}"),
            weight_bp: *weight,
            buckets: Vec::new(),
            next: None,
        };
        weights.iter().enumerate().map(variant).collect()
    }

    fn allotted(before: &[Variant], weights: &[u32]) -> Vec<Variant> {
        let mut variants = variants(weights);
        allot(before, &mut variants);
        variants
    }

    fn address(n: u64) -> AddressHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        AddressHash(hash)
    }

    /// Weights that sum to all basis points.
    fn weights() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0u32..5_000, 2..8).prop_map(|mut weights| {
            let sum: u32 = weights.iter().sum();
            for weight in &mut weights {
                *weight = *weight * BASIS_POINTS / sum.max(1);
            }
            let rest = BASIS_POINTS - weights.iter().sum::<u32>();
            weights[0] += rest;
            weights
        })
    }

    #[test]
    fn c183_a_million_addresses_split_as_they_should_and_the_same_each_time() {
        let variants = allotted(&[], &[5_000, 3_000, 2_000]);
        let workflow = Uuid::from_u128(7);
        let label = |n| variant_of(&variants, bucket(workflow, "split", address(n))).map(|one| one.label.clone());
        let mut counts: HashMap<String, f64> = HashMap::new();
        for n in 0..1_000_000 {
            *counts.entry(label(n).unwrap()).or_default() += 1.0;
        }
        // Pearson's statistic with two degrees of freedom is over 13.8 once in a thousand.
        let expected = [("v0", 500_000.0), ("v1", 300_000.0), ("v2", 200_000.0)];
        let statistic: f64 = expected.iter().map(|(label, n)| (counts[*label] - n).powi(2) / n).sum();
        assert!(statistic < 13.8, "{counts:?}");
        assert_eq!((0..1_000).map(label).collect::<Vec<_>>(), (0..1_000).map(label).collect::<Vec<_>>());
    }

    #[test]
    fn two_splits_are_independent_of_each_other() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let same = (0..10_000).filter(|n| bucket(one, "s", address(*n)) < 5_000).collect::<Vec<_>>();
        let both = same.iter().filter(|n| bucket(other, "s", address(**n)) < 5_000).count();
        assert!((2_300..2_700).contains(&both), "{both}");
    }

    proptest! {
        #[test]
        fn c183_every_bucket_has_one_owner_and_each_as_many_as_its_weight(weights in weights()) {
            let variants = allotted(&[], &weights);
            for variant in &variants {
                let own: u32 = variant.buckets.iter().map(|(from, to)| to - from).sum();
                prop_assert_eq!(own, variant.weight_bp);
            }
            for bucket in 0..BASIS_POINTS {
                let owners = variants.iter().filter(|one| one.buckets.iter().any(|(a, b)| (*a..*b).contains(&bucket)));
                prop_assert_eq!(owners.count(), 1);
            }
        }

        #[test]
        fn c183_a_change_of_weights_moves_as_few_as_can_be(old in weights(), new in weights()) {
            let before = allotted(&[], &old);
            let after = allotted(&before, &new);
            let label = |variants: &[Variant], bucket| variant_of(variants, bucket).map(|one| one.label.clone());
            let moved = (0..BASIS_POINTS).filter(|bucket| label(&before, *bucket) != label(&after, *bucket)).count();
            let weight = |weights: &[u32], place: usize| weights.get(place).copied().unwrap_or(0);
            let least: u32 = (0..8).map(|place| weight(&new, place).saturating_sub(weight(&old, place))).sum();
            prop_assert_eq!(moved, least as usize);
        }
    }
}
