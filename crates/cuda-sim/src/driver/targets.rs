//! The architecture that a module was compiled for, and whether a device can run it.

use crate::device::Device;

/// The operand of `.target`: `sm_80`, or `sm_90a` and `sm_100f` for features of one architecture or
/// family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Name as it is written.
    pub(super) name: &'a str,
    number: u32,
    suffix: Option<char>,
}

impl<'a> Target<'a> {
    /// Returns the first target of a module's text.
    pub(super) fn of(ptx: &'a str) -> Option<Self> {
        let targets = ptx.lines().find_map(|line| line.trim_start().strip_prefix(".target"))?;
        let name = targets.trim_start().split([',', ' ', '\t', '/']).next()?.trim_end();
        let version = name.strip_prefix("sm_")?;
        let digits = version.trim_end_matches(|c: char| c.is_ascii_lowercase());
        Some(Self {
            name,
            number: digits.parse().ok()?,
            suffix: version[digits.len()..].chars().next(),
        })
    }

    /// Returns whether the target names features that other architectures lack.
    pub(super) fn is_specific(self) -> bool {
        self.suffix.is_some()
    }

    /// Returns whether a device runs such code: plain PTX runs on every later architecture,
    /// family-specific PTX on later ones of the same major version, architecture-specific PTX on
    /// that architecture only.
    pub(super) fn runs_on(self, device: &Device) -> bool {
        let (major, minor) = device.compute_capability;
        let capability = 10 * major + minor;
        match self.suffix {
            None => self.number <= capability,
            Some('f') => self.number <= capability && self.number / 10 == major,
            Some(_) => self.number == capability,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(operand: &str) -> Target<'_> {
        Target::of(operand).expect("a target")
    }

    #[test]
    fn later_devices_run_earlier_targets() {
        let (a100, h100) = (Device::a100(), Device::h100());
        let plain = target(".version 8.0\n.target sm_80, texmode_independent\n");
        assert_eq!((plain.name, plain.is_specific()), ("sm_80", false));
        assert!(plain.runs_on(&a100) && plain.runs_on(&h100));
        let later = target(".target sm_90");
        assert!(!later.runs_on(&a100) && later.runs_on(&h100));
        let specific = target("  .target  sm_90a // wgmma");
        assert!(specific.is_specific() && specific.runs_on(&h100));
        assert!(!target(".target sm_80a").runs_on(&h100));
        assert!(!target(".target sm_100f").runs_on(&h100));
        assert_eq!(Target::of(".version 8.0"), None);
    }
}
