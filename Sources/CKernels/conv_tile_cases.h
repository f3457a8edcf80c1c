// Instances of `tile` for every count of pixels, chosen at run time: ADD_NAME and SPREAD_NAME are the functions made,
// CK_TARGET their attribute, TILE is 6 or 12.
#define CK_CASE(n, spreads) case n: tile(n, spreads, t); break;
#if TILE == 12
#define CK_CASES(spreads) \
    CK_CASE(1, spreads) CK_CASE(2, spreads) CK_CASE(3, spreads) CK_CASE(4, spreads) CK_CASE(5, spreads) CK_CASE(6, spreads) \
    CK_CASE(7, spreads) CK_CASE(8, spreads) CK_CASE(9, spreads) CK_CASE(10, spreads) CK_CASE(11, spreads) CK_CASE(12, spreads)
#else
#define CK_CASES(spreads) \
    CK_CASE(1, spreads) CK_CASE(2, spreads) CK_CASE(3, spreads) CK_CASE(4, spreads) CK_CASE(5, spreads) CK_CASE(6, spreads)
#endif

CK_TARGET void ADD_NAME(size_t pixels, const ck_conv_tile *t) {
    switch (pixels) {
        CK_CASES(false)
        default: break;
    }
}

CK_TARGET void SPREAD_NAME(size_t pixels, const ck_conv_tile *t) {
    switch (pixels) {
        CK_CASES(true)
        default: break;
    }
}
