// Names of the instructions that compute, with the widths of result and operands.
#define ROW(name, signature, f) {name, signature, f},
#define NUMBER(t, s) \
    ROW("add." #t, s s s, add_##t) ROW("sub." #t, s s s, sub_##t) ROW("mul.lo." #t, s s s, mul_lo_##t) ROW("mad.lo." #t, s s s s, mad_lo_##t) \
    ROW("min." #t, s s s, min_##t) ROW("max." #t, s s s, max_##t) ROW("div." #t, s s s, div_##t) ROW("rem." #t, s s s, rem_##t) ROW("shr." #t, s s "w", shr_##t) \
    ROW("setp.eq." #t, "p" s s, eq_##t) ROW("setp.ne." #t, "p" s s, ne_##t) ROW("setp.lt." #t, "p" s s, lt_##t) ROW("setp.le." #t, "p" s s, le_##t) \
    ROW("setp.gt." #t, "p" s s, gt_##t) ROW("setp.ge." #t, "p" s s, ge_##t)
#define BITS(n, s, t, suffix) \
    ROW("and.b" n, s s s, and##suffix) ROW("or.b" n, s s s, or##suffix) ROW("xor.b" n, s s s, xor##suffix) \
    ROW("shr.b" n, s s "w", shr_##t) ROW("setp.eq.b" n, "p" s s, eq_##t) ROW("setp.ne.b" n, "p" s s, ne_##t) ROW("selp.b" n, s s s "p", select##suffix)
#define FLOAT(t, s) \
    ROW("add." #t, s s s, add_##t) ROW("sub." #t, s s s, sub_##t) ROW("mul." #t, s s s, mul_##t) \
    ROW("add.rn." #t, s s s, add_##t) ROW("sub.rn." #t, s s s, sub_##t) ROW("mul.rn." #t, s s s, mul_##t) ROW("div.rn." #t, s s s, div_##t) \
    ROW("fma.rn." #t, s s s s, fma_##t) ROW("sqrt.rn." #t, s s, sqrt_##t) ROW("rcp.rn." #t, s s, rcp_##t) ROW("min." #t, s s s, min_##t) ROW("max." #t, s s s, max_##t) \
    ROW("neg." #t, s s, neg_##t) ROW("abs." #t, s s, abs_##t) ROW("copysign." #t, s s s, copysign_##t) \
    ROW("setp.eq." #t, "p" s s, eq_##t) ROW("setp.ne." #t, "p" s s, ne_##t) ROW("setp.lt." #t, "p" s s, lt_##t) ROW("setp.le." #t, "p" s s, le_##t) \
    ROW("setp.gt." #t, "p" s s, gt_##t) ROW("setp.ge." #t, "p" s s, ge_##t) ROW("setp.equ." #t, "p" s s, equ_##t) ROW("setp.neu." #t, "p" s s, neu_##t) \
    ROW("setp.ltu." #t, "p" s s, ltu_##t) ROW("setp.leu." #t, "p" s s, leu_##t) ROW("setp.gtu." #t, "p" s s, gtu_##t) ROW("setp.geu." #t, "p" s s, geu_##t) \
    ROW("setp.num." #t, "p" s s, num_##t) ROW("setp.nan." #t, "p" s s, nan_##t)
#define SIGN(t, s) ROW("neg." #t, s s, neg_##t) ROW("abs." #t, s s, abs_##t)
#define FROM(s, ws) \
    ROW("cvt.u8." #s, "w" ws, cvt_u8_##s) ROW("cvt.s8." #s, "w" ws, cvt_s8_##s) ROW("cvt.u16." #s, "w" ws, cvt_u16_##s) ROW("cvt.s16." #s, "w" ws, cvt_s16_##s) \
    ROW("cvt.u32." #s, "w" ws, cvt_u32_##s) ROW("cvt.s32." #s, "w" ws, cvt_s32_##s) ROW("cvt.u64." #s, "d" ws, cvt_u64_##s) ROW("cvt.s64." #s, "d" ws, cvt_s64_##s)
#define WAY(way) \
    ROW("cvt." #way ".f32.f32", "ww", way##_f32_f32) ROW("cvt." #way ".f64.f64", "dd", way##_f64_f64) ROW("cvt." #way ".s32.f32", "ww", way##_s32_f32) \
    ROW("cvt." #way ".u32.f32", "ww", way##_u32_f32) ROW("cvt." #way ".s32.f64", "wd", way##_s32_f64) ROW("cvt." #way ".u32.f64", "wd", way##_u32_f64) \
    ROW("cvt." #way ".s64.f32", "dw", way##_s64_f32) ROW("cvt." #way ".u64.f32", "dw", way##_u64_f32) ROW("cvt." #way ".s64.f64", "dd", way##_s64_f64) \
    ROW("cvt." #way ".u64.f64", "dd", way##_u64_f64)
#define MOVE(t, s, f) ROW("mov." #t, s s, f) ROW("selp." #t, s s s "p", f##_selected)
#define move4_selected select4
#define move8_selected select8

static const struct operation all[] = {
    NUMBER(u16, "w") NUMBER(s16, "w") NUMBER(u32, "w") NUMBER(s32, "w") NUMBER(u64, "d") NUMBER(s64, "d")
    SIGN(s16, "w") SIGN(s32, "w") SIGN(s64, "d")
    BITS("16", "w", u16, 4) BITS("32", "w", u32, 4) BITS("64", "d", u64, 8)
    ROW("and.pred", "ppp", and4) ROW("or.pred", "ppp", or4) ROW("xor.pred", "ppp", xor4) ROW("not.pred", "pp", not4)
    ROW("not.b16", "ww", not16) ROW("not.b32", "ww", not4) ROW("not.b64", "dd", not8)
    ROW("shl.b16", "www", shl_b16) ROW("shl.b32", "www", shl_b32) ROW("shl.b64", "ddw", shl_b64)
    ROW("mul.hi.u32", "www", mul_hi_u32) ROW("mul.hi.s32", "www", mul_hi_s32) ROW("mul.hi.u64", "ddd", mul_hi_u64) ROW("mul.hi.s64", "ddd", mul_hi_s64)
    ROW("mul.hi.u16", "www", mul_hi_u16) ROW("mul.hi.s16", "www", mul_hi_s16)
    ROW("mul.wide.u16", "www", mul_wide_u16) ROW("mul.wide.s16", "www", mul_wide_s16) ROW("mul.wide.u32", "dww", mul_wide_u32)
    ROW("mul.wide.s32", "dww", mul_wide_s32) ROW("mad.wide.s32", "dwwd", mad_wide_s32) ROW("mad.wide.u32", "dwwd", mad_wide_u32)
    ROW("shf.l.wrap.b32", "wwww", shf_l_wrap) ROW("shf.r.wrap.b32", "wwww", shf_r_wrap) ROW("shf.l.clamp.b32", "wwww", shf_l_clamp)
    ROW("shf.r.clamp.b32", "wwww", shf_r_clamp) ROW("popc.b32", "ww", popc_b32) ROW("popc.b64", "wd", popc_b64) ROW("clz.b32", "ww", clz_b32)
    ROW("clz.b64", "wd", clz_b64) ROW("brev.b32", "ww", brev_b32) ROW("brev.b64", "dd", brev_b64)
    ROW("bfe.u32", "wwww", bfe_u32) ROW("bfe.s32", "wwww", bfe_s32) ROW("bfi.b32", "wwwww", bfi_b32) ROW("prmt.b32", "wwww", prmt_b32)
    ROW("lop3.b32", "wwwww", lop3_b32)
    ROW("dp4a.s32.s32", "wwww", dp4a_ss) ROW("dp4a.u32.u32", "wwww", dp4a_uu) ROW("dp4a.s32.u32", "wwww", dp4a_su) ROW("dp4a.u32.s32", "wwww", dp4a_us)
    FLOAT(f32, "w") FLOAT(f64, "d") ROW("min.NaN.f32", "www", min_nan_f32) ROW("max.NaN.f32", "www", max_nan_f32)
    FROM(u8, "w") FROM(s8, "w") FROM(u16, "w") FROM(s16, "w") FROM(u32, "w") FROM(s32, "w") FROM(u64, "d") FROM(s64, "d")
    ROW("cvt.sat.s8.s32", "ww", sat_s8_s32) ROW("cvt.sat.u8.s32", "ww", sat_u8_s32)
    ROW("cvt.rn.f32.u8", "ww", f32_u8) ROW("cvt.rn.f32.s8", "ww", f32_s8)
    ROW("cvt.rn.f32.u16", "ww", f32_u16) ROW("cvt.rn.f32.s16", "ww", f32_s16) ROW("cvt.rn.f32.u32", "ww", f32_u32) ROW("cvt.rn.f32.s32", "ww", f32_s32)
    ROW("cvt.rn.f32.u64", "wd", f32_u64) ROW("cvt.rn.f32.s64", "wd", f32_s64) ROW("cvt.rn.f64.u32", "dw", f64_u32) ROW("cvt.rn.f64.s32", "dw", f64_s32)
    ROW("cvt.rn.f64.u64", "dd", f64_u64) ROW("cvt.rn.f64.s64", "dd", f64_s64) ROW("cvt.f64.f32", "dw", f64_f32) ROW("cvt.rn.f32.f64", "wd", f32_f64)
    WAY(rni) WAY(rzi) WAY(rmi) WAY(rpi)
    ROW("cvt.f32.f16", "ww", f32_f16) ROW("cvt.rn.f16.f32", "ww", f16_f32) ROW("cvt.rn.bf16.f32", "ww", bf16_f32) ROW("cvt.rn.bf16x2.f32", "www", bf16x2_f32)
    ROW("cvt.rn.f16x2.f32", "www", f16x2_f32)
    ROW("mov.b16", "ww", move4) ROW("mov.b32", "ww", move4) ROW("mov.b64", "dd", move8) ROW("mov.pred", "pp", move4)
    MOVE(u16, "w", move4) MOVE(s16, "w", move4) MOVE(u32, "w", move4) MOVE(s32, "w", move4) MOVE(f32, "w", move4)
    MOVE(u64, "d", move8) MOVE(s64, "d", move8) MOVE(f64, "d", move8)
    ROW("slct.b32.s32", "wwww", slct4) ROW("slct.u32.s32", "wwww", slct4) ROW("slct.s32.s32", "wwww", slct4) ROW("slct.f32.s32", "wwww", slct4)
    ROW("cvta.shared.u64", "dd", from_shared) ROW("cvta.to.shared.u64", "dd", to_shared) ROW("cvta.local.u64", "dd", from_local)
    ROW("cvta.to.local.u64", "dd", to_local) ROW("cvta.global.u64", "dd", move8) ROW("cvta.to.global.u64", "dd", move8)
    // Of the decoder's own: the parts of a vector.
    ROW("pack16", "www", pack16) ROW("pack32", "dww", pack32) ROW("low16", "ww", low16) ROW("high16", "ww", high16) ROW("low32", "wd", low32) ROW("high32", "wd", high32)
};
const struct operations TABLE = {all, sizeof all / sizeof *all, multiply8, multiply_bf16, multiply_f16};
