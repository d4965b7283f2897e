/* The inner loop of packing: one start of the greedy, in whole numbers only.
 *
 * Plain C without Python's headers; `kernel.py` loads it with ctypes, and `slow.py` is the same in Python, statement by
 * statement, for machines without a compiler: both must give the same numbers always, so whoever changes one changes the
 * other. All arithmetic is on 64-bit integers that the caller has scaled so that nothing overflows (`problem.py`).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t num;

/* Counted up with every change here: a library that was built from an older source is not used. */
const num rayfleet_kernel_version = 2;

enum { BIG_FIRST = 0, DENSE = 1, BALANCED_SUM = 2, BALANCED_MAX = 3 };

typedef struct {
    num pieces, variants, rows, pools;
    const num *need_start, *need_row, *need, *rough; /* of piece p: entries need_start[p] .. need_start[p + 1] - 1 */
    const num *shift;                                /* per row: how much finer exact amounts are than rough ones */
    const num *offers;                               /* variants x rows: what one host has */
    const num *suit_start, *suits;                   /* of variant v: the pieces it can take, the biggest first */
    const num *hosts, *price, *usd, *pool, *accelerated, *weight; /* per variant; weight, usd and price of a replica */
    const num *piece_accelerated, *piece_weight;
} problem;

typedef struct {
    const problem *of;
    const num *worth;
    num mode, any_variant, prefer_many;
    num *left;            /* pieces without a place */
    num *room;            /* hosts per pool, then hosts of the cluster, then nano-USD per hour */
    num *counts, *candidates;          /* scratch: of each piece in a filling; pieces that may still fit */
    num *free_, *lambda;               /* scratch: amounts left and their weight, by row */
    num *active_start, *active;        /* like `suits`, but only of pieces that there were at the beginning */
    num visits;
} run;

typedef struct {
    num variant, copies, first, size; /* `size` entries of (host, piece, count) from entry `first` on */
} launch;

#define WORTH_MAX ((num)1 << 42)
#define GAIN_SHIFT 20

static int one_fits(const problem *of, num piece, const num *free_) {
    for (num k = of->need_start[piece]; k < of->need_start[piece + 1]; k++)
        if (free_[of->need_row[k]] < of->need[k]) return 0;
    return 1;
}

static num fits(const problem *of, num piece, const num *free_, num most) {
    for (num k = of->need_start[piece]; k < of->need_start[piece + 1]; k++) {
        num count = free_[of->need_row[k]] / of->need[k];
        if (count < most) most = count;
    }
    return most;
}

static void take(const problem *of, num piece, num *free_, num count) {
    for (num k = of->need_start[piece]; k < of->need_start[piece + 1]; k++)
        free_[of->need_row[k]] -= of->need[k] * count;
}

/* How much of a host one piece takes, in 2^-20 of what is left (or of all of it): the sum or the largest over rows. */
static num size_of(const run *r, num piece) {
    const problem *of = r->of;
    num sum = 0, most = 0;
    for (num k = of->need_start[piece]; k < of->need_start[piece + 1]; k++) {
        num part = (of->rough[k] * r->lambda[of->need_row[k]]) >> 30;
        sum += part;
        if (part > most) most = part;
    }
    return 1 + (r->mode == BALANCED_MAX ? most : sum);
}

static void weigh_rows(run *r) {
    for (num row = 0; row < r->of->rows; row++) {
        num rough = r->free_[row] >> r->of->shift[row];
        r->lambda[row] = rough > 0 ? ((num)1 << 50) / rough : 0;
    }
}

/* The next piece to put onto the host: the most worth per size; -1 when nothing fits any more. What does not fit now
 * never will, so it is dropped from `pieces`. */
static num densest(run *r, num *pieces, num *size) {
    num best = -1, best_worth = 0, best_size = 1, kept = 0;
    r->visits += *size;
    for (num i = 0; i < *size; i++) {
        num piece = pieces[i];
        if (!r->left[piece] || !one_fits(r->of, piece, r->free_)) continue;
        pieces[kept++] = piece;
        num piece_size = size_of(r, piece);
        if (best < 0 || r->worth[piece] * best_size > best_worth * piece_size) {
            best = piece;
            best_worth = r->worth[piece];
            best_size = piece_size;
        }
    }
    *size = kept;
    return best;
}

static num fill_big_first(run *r, const num *pieces, num size, num host, num *entries, num at) {
    r->visits += size;
    for (num i = 0; i < size; i++) {
        num piece = pieces[i];
        num count = r->left[piece] ? fits(r->of, piece, r->free_, r->left[piece]) : 0;
        if (!count) continue;
        take(r->of, piece, r->free_, count);
        r->left[piece] -= count;
        entries[3 * at] = host, entries[3 * at + 1] = piece, entries[3 * at + 2] = count;
        at++;
    }
    return at;
}

/* Fill one host with what is left; return the new number of entries. `left` is counted down. */
static num fill_host(run *r, num variant, num host, num *entries, num at) {
    const problem *of = r->of;
    const num *pieces = r->active + r->active_start[variant];
    num size = r->active_start[variant + 1] - r->active_start[variant], first = at;
    memcpy(r->free_, of->offers + variant * of->rows, (size_t)of->rows * sizeof(num));
    if (r->mode == BIG_FIRST) return fill_big_first(r, pieces, size, host, entries, at);
    memcpy(r->candidates, pieces, (size_t)size * sizeof(num));
    weigh_rows(r);
    for (;;) {
        if (r->mode != DENSE) weigh_rows(r);
        num piece = densest(r, r->candidates, &size);
        if (piece < 0) return at;
        num count = fits(of, piece, r->free_, r->left[piece]);
        if (r->mode != DENSE && count > 1) count = (count + 1) / 2; /* then its balance is judged again */
        take(of, piece, r->free_, count);
        r->left[piece] -= count;
        num seen = first;
        while (seen < at && entries[3 * seen + 1] != piece) seen++;
        if (seen == at) {
            entries[3 * at] = host, entries[3 * at + 1] = piece, entries[3 * at + 2] = 0;
            at++;
        }
        entries[3 * seen + 2] += count;
    }
}

static num affordable(const run *r, num variant) {
    const problem *of = r->of;
    num pool = r->room[of->pool[variant]], cluster = r->room[of->pools], usd = r->room[of->pools + 1];
    num count = (pool < cluster ? pool : cluster) / of->hosts[variant];
    if (of->usd[variant] > 0 && usd / of->usd[variant] < count) count = usd / of->usd[variant];
    return count;
}

/* What a variant is worth now: (merit, waste, worth), and its filling. merit 0: it is no use. */
typedef struct {
    num merit, waste, worth, size, room, *entries;
} offer;

static int refill(run *r, num variant, offer *o) {
    const problem *of = r->of;
    o->merit = o->size = 0;
    if (!affordable(r, variant)) return 0;
    num per_host = r->active_start[variant + 1] - r->active_start[variant];
    num need = per_host * of->hosts[variant];
    if (o->room < need) {
        free(o->entries);
        o->entries = malloc((size_t)need * 3 * sizeof(num));
        if (!o->entries) return -1;
        o->room = need;
    }
    num at = 0, worth = 0, weight = 0, accelerated = 0;
    for (num host = 0; host < of->hosts[variant]; host++) at = fill_host(r, variant, host, o->entries, at);
    for (num i = 0; i < at; i++) {
        num piece = o->entries[3 * i + 1], count = o->entries[3 * i + 2];
        r->left[piece] += count;
        num gain = r->worth[piece] * count;
        worth += gain < WORTH_MAX ? gain : WORTH_MAX;
        weight += of->piece_weight[piece] * count;
        accelerated |= of->piece_accelerated[piece];
    }
    if (worth > WORTH_MAX) worth = WORTH_MAX;
    if (!worth || (of->accelerated[variant] && !accelerated && !r->any_variant)) return 0;
    o->merit = (worth << GAIN_SHIFT) / of->price[variant] + 1;
    o->waste = of->weight[variant] - weight;
    o->worth = r->prefer_many ? -worth : worth;
    o->size = at;
    return 0;
}

static int better(const offer *a, const offer *b) {
    if (a->merit != b->merit) return a->merit > b->merit;
    if (a->waste != b->waste) return a->waste < b->waste;
    return a->worth > b->worth; /* equal: the first variant stays */
}

/* How often a filling can be repeated with what is left; 0: it is out of date. */
static num repeats(run *r, const offer *o) {
    num least = -1;
    for (num i = 0; i < o->size; i++) r->counts[o->entries[3 * i + 1]] += o->entries[3 * i + 2];
    for (num i = 0; i < o->size; i++) {
        num piece = o->entries[3 * i + 1];
        if (!r->counts[piece]) continue;
        num times = r->left[piece] / r->counts[piece];
        if (least < 0 || times < least) least = times;
        r->counts[piece] = 0;
    }
    return least < 0 ? 0 : least;
}

/* Launch the variant of the highest merit, as often as its filling can be repeated, until nothing fits any more. */
static num launch_all(run *r, offer *offers, launch *launches, num launch_room, num *entries, num entry_room) {
    const problem *of = r->of;
    num made = 0, at = 0;
    for (num v = 0; v < of->variants; v++)
        if (refill(r, v, &offers[v])) return -2;
    for (;;) {
        num best = 0;
        for (num v = 1; v < of->variants; v++)
            if (better(&offers[v], &offers[best])) best = v;
        offer *o = &offers[best];
        if (!o->merit) return made;
        num copies = repeats(r, o), most = affordable(r, best);
        if (most < copies) copies = most;
        if (copies) {
            if (made >= launch_room || at + o->size > entry_room) return -1;
            launches[made++] = (launch){best, copies, at, o->size};
            memcpy(entries + 3 * at, o->entries, (size_t)o->size * 3 * sizeof(num));
            for (num i = 0; i < o->size; i++) r->left[o->entries[3 * i + 1]] -= o->entries[3 * i + 2] * copies;
            at += o->size;
            r->room[of->pool[best]] -= copies * of->hosts[best];
            r->room[of->pools] -= copies * of->hosts[best];
            if (of->usd[best] > 0) r->room[of->pools + 1] -= copies * of->usd[best];
        }
        if (refill(r, best, o)) return -2;
    }
}

/* Note the pieces that are there, per variant: of the others there are none at any time. */
static void narrow(run *r) {
    const problem *of = r->of;
    num at = 0;
    for (num v = 0; v < of->variants; v++) {
        r->active_start[v] = at;
        for (num k = of->suit_start[v]; k < of->suit_start[v + 1]; k++)
            if (r->left[of->suits[k]]) r->active[at++] = of->suits[k];
    }
    r->active_start[of->variants] = at;
}

/* One start. `left` and `room` are counted down. Returns the number of launches; -1: they have no room in the arrays;
 * -2: no memory. */
num rayfleet_start(const problem *of, const num *worth, num mode, num any_variant, num prefer_many, num *left, num *room,
                   num *launches, num launch_room, num *entries, num entry_room, num *visits) {
    num sizes = 2 * of->pieces + 2 * of->rows + of->variants + 1;
    num *scratch = calloc((size_t)(sizes + of->suit_start[of->variants] + 1), sizeof(num));
    offer *offers = calloc((size_t)of->variants + 1, sizeof(offer));
    num made = -2;
    if (scratch && offers) {
        num *candidates = scratch + of->pieces, *free_ = candidates + of->pieces, *lambda = free_ + of->rows, *start = lambda + of->rows;
        run r = {of, worth, mode, any_variant, prefer_many, left, room, scratch, candidates, free_, lambda, start,
                 scratch + sizes, 0};
        narrow(&r);
        made = launch_all(&r, offers, (launch *)launches, launch_room, entries, entry_room);
        *visits += r.visits;
    }
    for (num v = 0; offers && v < of->variants; v++) free(offers[v].entries);
    free(offers);
    free(scratch);
    return made;
}
