//! The texts that kernels print: `assert` and `printf`.

use super::block::Worker;
use super::fault::{FaultKind, Violation};
use super::lanes::lanes_of;
use super::warp::Warp;
use std::io::Write;

impl Worker<'_> {
    /// Returns the report of a failed `assert`; `arguments` are message, file, line and function.
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

    /// Returns eight bytes of a call's argument in local memory.
    fn argument(&self, warp: &Warp, lane: usize, offset: u32) -> u64 {
        let function = warp.activations.last().map_or(0, |activation| activation.function);
        let local = self.launch.kernel.linked.functions[function].local;
        local_word(warp, lane, u64::from(local + offset), 8)
    }

    /// Returns a text in global memory, up to its zero byte.
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

    /// Carries out `vprintf`: prints to the host's standard output, lane by lane, and returns the
    /// number of arguments. Kernels that print run their blocks in order, so the text is always the
    /// same.
    pub(crate) fn print(&self, warp: &mut Warp, arguments: [u32; 2], result: u32, mask: u32) {
        let function = warp.activations.last().map_or(0, |activation| activation.function);
        let local = self.launch.kernel.linked.functions[function].local;
        let mut out = std::io::stdout().lock();
        for lane in lanes_of(mask) {
            let [format, values] = arguments.map(|at| self.argument(warp, lane, at));
            let value = |offset: u64, bytes: u64| {
                let at = values.wrapping_add(offset).wrapping_sub(super::moves::LOCAL_WINDOW);
                local_word(warp, lane, at, bytes as usize)
            };
            let (text, count) = fill(&self.string(format), value, |at| self.string(at));
            // A closed standard output is no fault of the kernel.
            let _ = out.write_all(text.as_bytes());
            let at = lane * warp.local_bytes as usize + (local + result) as usize;
            if let Some(place) = warp.local.get_mut(at..at + 4) {
                place.copy_from_slice(&u32::to_le_bytes(count));
            }
        }
        let _ = out.flush();
    }
}

/// Fills a C format with arguments, and returns also the number of arguments. `value` gives a
/// number of bytes at an offset in the list of arguments, `string` the text at an address.
/// Conversions that C does not have are printed as they are written.
fn fill(
    format: &str,
    value: impl Fn(u64, u64) -> u64,
    string: impl Fn(u64) -> String,
) -> (String, u32) {
    let (mut out, mut end, mut count) = (String::new(), 0u64, 0);
    let mut next = |bytes: u64| {
        let at = end.next_multiple_of(bytes);
        end = at + bytes;
        count += 1;
        value(at, bytes)
    };
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        out.push_str(&rest[..start]);
        let spec = &rest[start + 1..];
        let length = spec.find(|c: char| c.is_ascii_alphabetic() && !"hlzjt".contains(c));
        let Some(length) = length.filter(|_| !spec.starts_with('%')) else {
            out.push('%');
            rest = spec.strip_prefix('%').unwrap_or(spec);
            continue;
        };
        let (flags, conversion) = (&spec[..length], char::from(spec.as_bytes()[length]));
        rest = &spec[length + 1..];
        let long = flags.contains(['l', 'z', 'j', 't']);
        let width = if long { 8 } else { 4 };
        let text = match conversion {
            'd' | 'i' if long => (next(8) as i64).to_string(),
            'd' | 'i' => (next(4) as i32).to_string(),
            'u' => next(width).to_string(),
            'x' => format!("{:x}", next(width)),
            'X' => format!("{:X}", next(width)),
            'c' => char::from(next(4) as u8).to_string(),
            'p' => format!("{:#x}", next(8)),
            's' => string(next(8)),
            'f' | 'F' => real(f64::from_bits(next(8)), flags, false),
            'e' | 'E' => real(f64::from_bits(next(8)), flags, true),
            'g' | 'G' => f64::from_bits(next(8)).to_string(),
            other => format!("%{flags}{other}"),
        };
        let digits = flags.trim_start_matches(['-', '+', ' ', '#']);
        let pad = digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
        let pad: usize = pad.unwrap_or(0);
        out += &match (flags.starts_with('-'), digits.starts_with('0')) {
            (true, _) => format!("{text:<pad$}"),
            (_, true) => format!("{text:0>pad$}"),
            _ => format!("{text:>pad$}"),
        };
    }
    out.push_str(rest);
    (out, count)
}

fn real(value: f64, flags: &str, exponent: bool) -> String {
    let precision = flags.split_once('.').and_then(|(_, digits)| {
        digits.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
    });
    let precision: usize = precision.unwrap_or(6);
    if !exponent {
        return format!("{value:.precision$}");
    }
    // C writes the exponent with its sign and two digits.
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            let power: i32 = power.parse().unwrap_or(0);
            format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
        }
        None => text,
    }
}

/// Returns up to eight bytes of a lane's local memory, which are zero outside of it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_filled_as_in_c() {
        // The list a compiler makes: int, long, double, double, pointer, unsigned.
        let mut list = Vec::new();
        list.extend((-7i32).to_le_bytes());
        list.extend([0; 4]);
        list.extend((1i64 << 40).to_le_bytes());
        list.extend(2.5f64.to_le_bytes());
        list.extend(0.00125f64.to_le_bytes());
        list.extend(99u64.to_le_bytes());
        list.extend(255u32.to_le_bytes());
        let value = |at: u64, bytes: u64| {
            let mut word = [0; 8];
            word[..bytes as usize].copy_from_slice(&list[at as usize..][..bytes as usize]);
            u64::from_le_bytes(word)
        };
        let format = "%d%% %ld|%8.3f|%.2e|%s|%04x\n";
        let (text, count) = fill(format, value, |address| format!("at {address}"));
        assert_eq!(text, "-7% 1099511627776|   2.500|1.25e-03|at 99|00ff\n");
        assert_eq!(count, 6);
    }
}
