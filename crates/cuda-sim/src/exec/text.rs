//! `assert` and `printf` of kernels.

use super::block::Worker;
use super::fault::{FaultKind, Violation};
use super::lanes::lanes_of;
use super::warp::Warp;
use std::fmt::Write;

impl Worker<'_> {
    /// The report of a failed `assert`; `arguments` are message, file, line and function.
    pub(crate) fn assertion(&self, warp: &Warp, arguments: [u32; 4], mask: u32) -> Box<Violation> {
        let lane = mask.trailing_zeros();
        let [message, file, line, function] =
            arguments.map(|at| self.argument(warp, lane as usize, at));
        let text = format!(
            "assertion `{}` failed at {}:{} in {}",
            self.string(message),
            self.string(file),
            line as u32,
            self.string(function)
        );
        Violation::new(FaultKind::Assert, Some(lane), text)
    }

    /// Eight bytes of a call's argument in local memory.
    fn argument(&self, warp: &Warp, lane: usize, offset: u32) -> u64 {
        let function = warp.activations.last().map_or(0, |activation| activation.function);
        let local = self.launch.kernel.linked.functions[function].local;
        local_word(warp, lane, u64::from(local + offset), 8)
    }

    /// A text in global memory, up to its zero byte.
    fn string(&self, address: u64) -> String {
        let Some(region) = self.launch.view.region_of(address) else {
            return "?".into();
        };
        let start = (address - region.address) as usize;
        // SAFETY: the range lies inside the region.
        let bytes = unsafe {
            let length = region.bytes as usize - start;
            std::slice::from_raw_parts(region.data.add(start), length)
        };
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// `vprintf`: prints to the host's standard output, lane by lane, and returns the number of
    /// arguments.
    pub(crate) fn print(&self, warp: &mut Warp, arguments: [u32; 2], result: u32, mask: u32) {
        let function = warp.activations.last().map_or(0, |activation| activation.function);
        let local = self.launch.kernel.linked.functions[function].local;
        for lane in lanes_of(mask) {
            let [format, values] = arguments.map(|at| self.argument(warp, lane, at));
            let (text, count) = self.format(warp, lane, &self.string(format), values);
            print!("{text}");
            let at = lane * warp.local_bytes as usize + (local + result) as usize;
            if let Some(place) = warp.local.get_mut(at..at + 4) {
                place.copy_from_slice(&u32::to_le_bytes(count));
            }
        }
    }

    /// A C format filled with the values at a generic address; conversions with `*` and `%n` are
    /// printed as they stand.
    fn format(&self, warp: &Warp, lane: usize, format: &str, values: u64) -> (String, u32) {
        let (mut out, mut at, mut count) = (String::new(), values, 0);
        let mut next = |bytes: u64| {
            at = at.next_multiple_of(bytes);
            at += bytes;
            count += 1;
            let offset = (at - bytes).wrapping_sub(super::moves::LOCAL_WINDOW);
            local_word(warp, lane, offset, bytes as usize)
        };
        let mut rest = format;
        while let Some(start) = rest.find('%') {
            out.push_str(&rest[..start]);
            let spec = &rest[start + 1..];
            let length = spec.find(|c: char| c.is_ascii_alphabetic() && !"hlzjt".contains(c));
            let length = length.filter(|_| !spec.starts_with('%'));
            let Some(length) = length else {
                out.push('%');
                rest = spec.strip_prefix('%').unwrap_or(spec);
                continue;
            };
            let (flags, conversion) = (&spec[..length], spec.as_bytes()[length] as char);
            rest = &spec[length + 1..];
            let long = flags.contains(['l', 'z', 'j', 't']);
            let width = if long { 8 } else { 4 };
            let signed = |value: u64| {
                if long { value as i64 } else { i64::from(value as i32) }
            };
            let text = match conversion {
                'd' | 'i' => signed(next(width)).to_string(),
                'u' => next(width).to_string(),
                'x' => format!("{:x}", next(width)),
                'X' => format!("{:X}", next(width)),
                'c' => char::from(next(4) as u8).to_string(),
                'p' => format!("{:#x}", next(8)),
                's' => self.string(next(8)),
                'f' | 'F' => real(f64::from_bits(next(8)), flags, false),
                'e' | 'E' => real(f64::from_bits(next(8)), flags, true),
                'g' | 'G' => f64::from_bits(next(8)).to_string(),
                other => format!("%{flags}{other}"),
            };
            let digits = flags.trim_start_matches(['-', '+', ' ', '#']);
            let pad: usize = digits
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|width| width.parse().ok())
                .unwrap_or(0);
            // Writing to a String does not fail.
            let _ = match (flags.starts_with('-'), digits.starts_with('0')) {
                (true, _) => write!(out, "{text:<pad$}"),
                (_, true) => write!(out, "{text:0>pad$}"),
                _ => write!(out, "{text:>pad$}"),
            };
        }
        out.push_str(rest);
        (out, count)
    }
}

fn real(value: f64, flags: &str, exponent: bool) -> String {
    let precision = flags.split_once('.').and_then(|(_, digits)| {
        digits.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
    });
    let precision: usize = precision.unwrap_or(6);
    if exponent { format!("{value:.precision$e}") } else { format!("{value:.precision$}") }
}

/// Up to eight bytes of a lane's local memory; zero outside.
fn local_word(warp: &Warp, lane: usize, offset: u64, bytes: usize) -> u64 {
    let size = warp.local_bytes as usize;
    let mut word = [0; 8];
    let lane_memory = &warp.local[lane * size..(lane + 1) * size];
    let found = usize::try_from(offset).ok().and_then(|at| lane_memory.get(at..));
    if let Some(found) = found {
        let bytes = bytes.min(found.len());
        word[..bytes].copy_from_slice(&found[..bytes]);
    }
    u64::from_le_bytes(word)
}
