//! Cells of `numeric`: class and sign, then magnitude.

use crate::cell::push_integer;
use crate::encoder::invert;
use crate::{Numeric, lead};

/// Appends the cell of a number.
pub(crate) fn push(out: &mut Vec<u8>, value: Numeric<'_>) {
    match value {
        Numeric::NegativeInfinity => out.push(lead::NUMERIC_NEGATIVE_INFINITY),
        Numeric::Finite { negative, weight, digits } => {
            push_finite(out, negative, weight.into(), digits)
        }
        Numeric::Infinity => out.push(lead::NUMERIC_INFINITY),
        Numeric::NaN => out.push(lead::NUMERIC_NAN),
    }
}

/// Without zeros at either end, equal numbers have equal weights and digits.
fn push_finite(out: &mut Vec<u8>, negative: bool, weight: i32, digits: &[i16]) {
    let Some(first) = digits.iter().position(|digit| *digit != 0) else {
        return out.push(lead::NUMERIC_ZERO);
    };
    let last = digits.iter().rposition(|digit| *digit != 0).unwrap_or(first);
    out.push(if negative { lead::NUMERIC_NEGATIVE } else { lead::NUMERIC_POSITIVE });
    let start = out.len();
    push_integer(out, i128::from(weight) - first as i128);
    push_digits(out, &digits[first..=last]);
    if negative {
        invert(&mut out[start..]);
    }
}

/// Each digit says in its lowest bit whether another follows, so that no end mark is needed and a
/// number is above the same number cut short.
fn push_digits(out: &mut Vec<u8>, digits: &[i16]) {
    for (i, digit) in digits.iter().enumerate() {
        debug_assert!((0..10_000).contains(digit), "a digit to the base 10000, not {digit}");
        let more = u16::from(i + 1 < digits.len());
        out.extend_from_slice(&(((*digit as u16) << 1) | more).to_be_bytes());
    }
}
