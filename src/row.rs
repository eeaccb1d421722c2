//! Rows as bytes.
//!
//! A stored row is PostgreSQL's own tuple from `t_infomask2` on, and a token:
//!
//! ```text
//! t_infomask2 (2) · t_infomask (2) · t_hoff (1) · null bitmap, padding · data · token (4, little-endian)
//! ```
//!
//! A heap tuple has 18 bytes in front of `t_infomask2`. The reader asks for pages whose values are
//! placed so that those 18 bytes can be filled in where the row lies ([`LAYOUT`]): a scan copies
//! each row once, from the store's page, and PostgreSQL deforms it lazily. The token is random for
//! each transaction and becomes `xmin`, which clients use to see whether a row has changed.

use kv::Layout;
use pgrx::prelude::*;
use relation::Tid;

use crate::compress;
use crate::error::raise;

/// Bytes of a heap tuple in front of `t_infomask2`.
const HEAD: usize = 18;
/// Where a heap tuple has its command.
const COMMAND: usize = 8;
/// Bytes of the token.
const TOKEN: usize = 4;
/// Smallest heap tuple header.
const MIN_TUPLE: usize = 23;
/// The bits of `t_infomask` that say how to read the data; the rest is about heap visibility.
const KEPT_INFOMASK: u16 =
    (pg_sys::HEAP_HASNULL | pg_sys::HEAP_HASVARWIDTH | pg_sys::HEAP_HASEXTERNAL) as u16;
/// The bits of `t_infomask2` that hold the number of attributes.
const NATTS_MASK: u16 = pg_sys::HEAP_NATTS_MASK as u16;

/// Where pages must place a row so that a heap tuple can be made of it in place: the tuple begins
/// at a multiple of 8.
pub(crate) const LAYOUT: Layout = Layout { headroom: HEAD, phase: HEAD & 7 };

/// Makes a heap tuple of a stored row, in place: `bytes` is the headroom and the row. The tuple
/// lives as long as the bytes do. `command` is shown as `cmin`.
pub(crate) fn tuple_in_place(
    bytes: &mut [u8],
    tid: Tid,
    table: pg_sys::Oid,
    command: pg_sys::CommandId,
) -> pg_sys::HeapTupleData {
    let length = bytes.len().saturating_sub(TOKEN);
    check(&bytes[..length]);
    let (tuple, token) = bytes.split_at_mut(length);
    tuple[..HEAD].fill(0);
    tuple[..TOKEN].copy_from_slice(token);
    tuple[COMMAND..COMMAND + 4].copy_from_slice(&command.to_ne_bytes());
    pg_sys::HeapTupleData {
        t_len: length as u32,
        t_self: item_pointer(tid),
        t_tableOid: table,
        t_data: tuple.as_mut_ptr().cast(),
    }
}

/// Refuses bytes whose header cannot be a tuple's, before anything follows an offset in them.
fn check(bytes: &[u8]) {
    if !is_tuple(bytes) {
        damaged();
    }
}

/// Raises an error: what the store holds cannot be a row.
pub(crate) fn damaged() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        "the store holds damaged data: a row cannot be read",
        "Restore the store from a backup, or copy the rows before and after it, by their ctid, and drop the table.",
    )
}

#[inline]
fn is_tuple(bytes: &[u8]) -> bool {
    if bytes.len() < MIN_TUPLE {
        return false;
    }
    let natts = usize::from(u16::from_ne_bytes([bytes[HEAD], bytes[HEAD + 1]]) & NATTS_MASK);
    let infomask = u16::from_ne_bytes([bytes[HEAD + 2], bytes[HEAD + 3]]);
    let has_null = infomask & pg_sys::HEAP_HASNULL as u16 != 0;
    let bitmap = if has_null { natts.div_ceil(8) } else { 0 };
    let hoff = usize::from(bytes[MIN_TUPLE - 1]);
    hoff >= MIN_TUPLE + bitmap
        && hoff <= bytes.len()
        && hoff.is_multiple_of(8)
        && natts <= pg_sys::MaxTupleAttributeNumber as usize
        && infomask & !KEPT_INFOMASK == 0
}

/// PostgreSQL's form of a TID.
pub(crate) fn item_pointer(tid: Tid) -> pg_sys::ItemPointerData {
    pg_sys::ItemPointerData {
        ip_blkid: pg_sys::BlockIdData { bi_hi: (tid.block >> 16) as u16, bi_lo: tid.block as u16 },
        ip_posid: tid.offset,
    }
}

/// A TID out of PostgreSQL's form.
///
/// # Safety
/// `pointer` must be valid.
pub(crate) unsafe fn tid(pointer: pg_sys::ItemPointer) -> Tid {
    // SAFETY: the caller's promise.
    let pointer = unsafe { &*pointer };
    let block = u32::from(pointer.ip_blkid.bi_hi) << 16 | u32::from(pointer.ip_blkid.bi_lo);
    Tid { block, offset: pointer.ip_posid }
}

/// Encodes the row in a slot into `out`, every value in line, and compressed if the row is long.
///
/// # Safety
/// `slot` must hold a row of `relation`, which must be open.
pub(crate) unsafe fn encode(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    token: u32,
    out: &mut Vec<u8>,
) {
    out.clear();
    // SAFETY: the caller's promise.
    unsafe {
        if !copy_tuple(slot, out) {
            form_tuple(relation, slot, out);
        }
    }
    out.extend_from_slice(&token.to_le_bytes());
}

/// Shows in a slot whose row was just written what a reader will see of it in `xmin`; and in `xmax`
/// whether it was locked before, by which INSERT … ON CONFLICT tells updated rows from inserted ones.
///
/// # Safety
/// `slot` must hold a row.
pub(crate) unsafe fn stamp(
    slot: *mut pg_sys::TupleTableSlot,
    token: u32,
    locked: bool,
    command: pg_sys::CommandId,
) {
    // SAFETY: a slot's kind says which struct it is; a tuple that the slot owns may be written to, and
    // begins with these fields.
    unsafe {
        let owned = u32::from((*slot).tts_flags) & pg_sys::TTS_FLAG_SHOULDFREE != 0;
        if !owned || (*slot).tts_ops != &raw const pg_sys::TTSOpsHeapTuple {
            return;
        }
        let Some(tuple) = (*slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple.as_ref() else {
            return;
        };
        let head = std::slice::from_raw_parts_mut(tuple.t_data.cast::<u8>(), HEAD);
        head[..TOKEN].copy_from_slice(&token.to_ne_bytes());
        head[TOKEN..COMMAND].copy_from_slice(&if locked { token } else { 0 }.to_ne_bytes());
        head[COMMAND..COMMAND + 4].copy_from_slice(&command.to_ne_bytes());
    }
}

/// Copies the tuple that a slot already has, if it has one that can be stored as it is.
unsafe fn copy_tuple(slot: *mut pg_sys::TupleTableSlot, out: &mut Vec<u8>) -> bool {
    // SAFETY: a slot's kind says which struct it is.
    unsafe {
        let kind = (*slot).tts_ops;
        let (header, length) = if kind == &raw const pg_sys::TTSOpsHeapTuple
            || kind == &raw const pg_sys::TTSOpsBufferHeapTuple
        {
            let tuple = (*slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple;
            let Some(tuple) = tuple.as_ref() else { return false };
            (tuple.t_data.cast::<u8>(), tuple.t_len as usize)
        } else {
            return false;
        };
        let bytes = std::slice::from_raw_parts(header.add(HEAD), length - HEAD);
        let infomask2 = u16::from_ne_bytes([bytes[0], bytes[1]]) & NATTS_MASK;
        let infomask = u16::from_ne_bytes([bytes[2], bytes[3]]);
        let whole = i32::from(infomask2) == (*(*slot).tts_tupleDescriptor).natts;
        let external = infomask & pg_sys::HEAP_HASEXTERNAL as u16 != 0;
        if !whole || external || length > compress::LONG_ROW {
            return false;
        }
        out.extend_from_slice(&infomask2.to_ne_bytes());
        out.extend_from_slice(&(infomask & KEPT_INFOMASK).to_ne_bytes());
        out.extend_from_slice(&bytes[4..]);
        true
    }
}

/// Forms a tuple of a slot's values, fetching what is stored out of line.
unsafe fn form_tuple(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    out: &mut Vec<u8>,
) {
    // SAFETY: after slot_getallattrs the arrays have one element per attribute.
    unsafe {
        let desc = (*slot).tts_tupleDescriptor;
        let natts = (*desc).natts as usize;
        if ((*slot).tts_nvalid as usize) < natts {
            pg_sys::slot_getsomeattrs_int(slot, natts as i32);
        }
        let mut values = std::slice::from_raw_parts((*slot).tts_values, natts).to_vec();
        let nulls = std::slice::from_raw_parts((*slot).tts_isnull, natts);
        let mut made = fetch_external(desc, &mut values, nulls);
        let (hoff, size) = sizes(desc, &mut values, nulls);
        if hoff + size > compress::LONG_ROW {
            made.extend(compress::compress(relation, &mut values, nulls, size, hoff));
        }
        fill(desc, &mut values, nulls, out);
        for value in made {
            pg_sys::pfree(value.cast());
        }
    }
}

/// Replaces values stored out of line by the values; returns what to free.
unsafe fn fetch_external(
    desc: pg_sys::TupleDesc,
    values: &mut [pg_sys::Datum],
    nulls: &[bool],
) -> Vec<*mut pg_sys::varlena> {
    let mut fetched = Vec::new();
    for (i, value) in values.iter_mut().enumerate() {
        // SAFETY: a value of a column of length -1 is a varlena.
        unsafe {
            if nulls[i] || crate::pg::attribute(desc, i).attlen != -1 {
                continue;
            }
            let varlena = value.cast_mut_ptr::<pg_sys::varlena>();
            if pgrx::varatt_is_1b_e(varlena) {
                let inline = pg_sys::detoast_external_attr(varlena);
                *value = inline.into();
                fetched.push(inline);
            }
        }
    }
    fetched
}

/// Bytes of a tuple's header and of its data.
unsafe fn sizes(
    desc: pg_sys::TupleDesc,
    values: &mut [pg_sys::Datum],
    nulls: &[bool],
) -> (usize, usize) {
    let bitmap = if nulls.contains(&true) { values.len().div_ceil(8) } else { 0 };
    let hoff = (MIN_TUPLE + bitmap).next_multiple_of(8);
    // SAFETY: the callers' arrays have one element per attribute.
    let size = unsafe {
        pg_sys::heap_compute_data_size(desc, values.as_mut_ptr(), nulls.as_ptr().cast_mut())
    };
    (hoff, size)
}

unsafe fn fill(
    desc: pg_sys::TupleDesc,
    values: &mut [pg_sys::Datum],
    nulls: &[bool],
    out: &mut Vec<u8>,
) {
    let natts = values.len();
    let has_null = nulls.contains(&true);
    // SAFETY: the arrays have one element per attribute; `out` is given the length that
    // heap_compute_data_size says heap_fill_tuple fills.
    unsafe {
        let (hoff, size) = sizes(desc, values, nulls);
        let nulls = nulls.as_ptr().cast_mut();
        let base = out.len();
        out.resize(base + hoff - HEAD + size, 0);
        let mut infomask = 0u16;
        // heap_fill_tuple aligns by address, so the data must begin at a multiple of 8.
        let mut data = vec![0u64; size.div_ceil(8)];
        let bits = if has_null {
            out[base + MIN_TUPLE - HEAD..].as_mut_ptr()
        } else {
            std::ptr::null_mut()
        };
        let start = data.as_mut_ptr().cast();
        pg_sys::heap_fill_tuple(desc, values.as_mut_ptr(), nulls, start, size, &mut infomask, bits);
        let data = std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size);
        out[base + hoff - HEAD..].copy_from_slice(data);
        out[base..base + 2].copy_from_slice(&(natts as u16).to_ne_bytes());
        out[base + 2..base + 4].copy_from_slice(&(infomask & KEPT_INFOMASK).to_ne_bytes());
        out[base + 4] = hoff as u8;
    }
}
