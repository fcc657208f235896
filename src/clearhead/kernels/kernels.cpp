// What PyTorch leaves slow on a processor, in one pass each: attention over short sentences, dropout, the residual
// connection with its normalisation, and the softmax of the loss. Every function has a twin in PyTorch (../nn,
// ../training/loss.py) that gives the same numbers up to rounding; where no compiler is at hand the twin computes.
//
// Plain C calls on plain memory: no PyTorch header is needed, so that compiling takes a few seconds. One thread; the
// trainer has a worker a core. Matrices are row by row; sizes and strides count elements.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

constexpr int64_t LANES = 16;
typedef float Vec __attribute__((vector_size(64), aligned(4)));
typedef int32_t IntVec __attribute__((vector_size(64)));
typedef uint32_t WordVec __attribute__((vector_size(64)));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec x) { *reinterpret_cast<Vec*>(p) = x; }

// The upper half of a float. Computed with as floats, rounded to the nearest (even) when stored.
struct Bf16 {
  uint16_t bits;
};
typedef uint16_t HalfVec __attribute__((vector_size(32)));

inline Vec load(const Bf16* p) {
  HalfVec half;
  std::memcpy(&half, p, sizeof half);
  const WordVec word = __builtin_convertvector(half, WordVec) << 16;
  Vec x;
  std::memcpy(&x, &word, sizeof x);
  return x;
}

inline void store(Bf16* p, Vec x) {
  WordVec word;
  std::memcpy(&word, &x, sizeof word);
  word += 0x7FFFu + (word >> 16 & 1u);
  const HalfVec half = __builtin_convertvector(word >> 16, HalfVec);
  std::memcpy(p, &half, sizeof half);
}

inline float get(const float* p) { return *p; }
inline void put(float* p, float x) { *p = x; }

inline float get(const Bf16* p) {
  const uint32_t word = static_cast<uint32_t>(p->bits) << 16;
  float x;
  std::memcpy(&x, &word, sizeof x);
  return x;
}

inline void put(Bf16* p, float x) {
  uint32_t word;
  std::memcpy(&word, &x, sizeof word);
  p->bits = static_cast<uint16_t>((word + 0x7FFFu + (word >> 16 & 1u)) >> 16);
}
inline Vec all(float x) { return x - Vec{}; }
inline int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

using Lanes = std::make_integer_sequence<int, LANES>;

// Lane i of the result is lane i + STEP of x, around the end.
template <int STEP, int... I>
inline Vec turned(Vec x, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, x, (I + STEP) % LANES...);
}

inline float sum(Vec x) {
  x += turned<8>(x, Lanes{});
  x += turned<4>(x, Lanes{});
  x += turned<2>(x, Lanes{});
  return x[0] + x[1];
}

inline Vec larger(Vec x, Vec y) { return x > y ? x : y; }

inline float largest(Vec x) {
  x = larger(x, turned<8>(x, Lanes{}));
  x = larger(x, turned<4>(x, Lanes{}));
  x = larger(x, turned<2>(x, Lanes{}));
  return std::max(x[0], x[1]);
}

// The sum of f(j) over j < n, where f gives a Vec at j for whole vectors (`Vec{}` as its second argument) or a float.
template <typename F>
inline float sum_over(int64_t n, F f) {
  Vec total = {};
  float rest = 0;
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) total += f(j, Vec{});
  for (; j < n; ++j) rest += f(j, 0.0f);
  return sum(total) + rest;
}

inline Vec get(const float* p, Vec) { return load(p); }
inline float get(const float* p, float) { return *p; }

inline float largest(const float* p, int64_t n) {
  float most = p[0];
  int64_t j = 0;
  if (n >= LANES) {
    Vec best = load(p);
    for (j = LANES; j + LANES <= n; j += LANES) best = larger(load(p + j), best);
    most = largest(best);
  }
  for (; j < n; ++j) most = std::max(most, p[j]);
  return most;
}

// exp(x) for x <= 88, to about 1e-7 of its value; 0 below -87. Two to a whole power times a polynomial on [-ln2/2, ln2/2].
inline Vec exp(Vec x) {
  const Vec low = all(-87.0f);
  const IntVec vanishes = x < low;
  x = vanishes ? low : x;
  const Vec shifter = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  const Vec n = (x * 1.44269504f + shifter) - shifter;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const IntVec power = (__builtin_convertvector(n, IntVec) + 127) << 23;
  Vec scale;
  std::memcpy(&scale, &power, sizeof scale);
  const Vec result = p * scale;
  return vanishes ? Vec{} : result;
}

// Which elements dropout keeps: a hash of the element's number and a key, 16 bits for each of two neighbours, as in
// ../nn/dropout.py.
template <typename Word>
inline Word hashed(Word word, uint32_t low, uint32_t high) {
  Word x = word * 0x9E3779B9u + low;
  x ^= x >> 16;
  x *= 0x85EBCA6Bu;
  x ^= high;
  x ^= x >> 13;
  x *= 0xC2B2AE35u;
  x ^= x >> 16;
  return x;
}

struct Dropout {
  uint32_t low, high, least;  // kept where the element's 16 bits are at least `least`
  float scale;

  float factor(uint32_t bits) const { return bits >= least ? scale : 0.0f; }

  // The factor of one element, 0 or `scale`.
  float at(int64_t i) const { return factor(hashed(static_cast<uint32_t>(i / 2), low, high) >> (i % 2 * 16) & 0xFFFFu); }

  // Write the factors of the n elements from `first` on.
  void factors(int64_t first, int64_t n, float* out) const {
    int64_t i = 0;
    if (first % 2 && n > 0) out[i] = at(first), ++i;
    constexpr WordVec count = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
      const WordVec bits = hashed(count + static_cast<uint32_t>((first + i) / 2), low, high);
      const Vec even = (bits & 0xFFFFu) >= least ? all(scale) : Vec{}, odd = bits >> 16 >= least ? all(scale) : Vec{};
      store(out + i, __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
      store(out + i + LANES,
            __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
    }
    for (; i < n; ++i) out[i] = at(first + i);
  }
};

// C (m x n) = A (m x k) B (k x n) with n padded to whole vectors in B and C. A's element (i, j) is a[i * row + j * column].
template <int ROWS>
inline void block(int64_t n, int64_t k, const float* a, int64_t row, int64_t column, const float* b, float* c) {
  int64_t j = 0;
  for (; j + 2 * LANES <= n; j += 2 * LANES) {
    Vec x[ROWS] = {}, y[ROWS] = {};
    for (int64_t l = 0; l < k; ++l) {
      const Vec b0 = load(b + l * n + j), b1 = load(b + l * n + j + LANES);
      for (int i = 0; i < ROWS; ++i) {
        const Vec factor = all(a[i * row + l * column]);
        x[i] += factor * b0;
        y[i] += factor * b1;
      }
    }
    for (int i = 0; i < ROWS; ++i) store(c + i * n + j, x[i]), store(c + i * n + j + LANES, y[i]);
  }
  if (j < n) {
    Vec x[ROWS] = {};
    for (int64_t l = 0; l < k; ++l) {
      const Vec b0 = load(b + l * n + j);
      for (int i = 0; i < ROWS; ++i) x[i] += all(a[i * row + l * column]) * b0;
    }
    for (int i = 0; i < ROWS; ++i) store(c + i * n + j, x[i]);
  }
}

void multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t row, int64_t column, const float* b, float* c) {
  int64_t i = 0;
  for (; i + 6 <= m; i += 6) block<6>(n, k, a + i * row, row, column, b, c + i * n);
  for (; i + 2 <= m; i += 2) block<2>(n, k, a + i * row, row, column, b, c + i * n);
  if (i < m) block<1>(n, k, a + i * row, row, column, b, c + i * n);
}

// Copy n elements, from one format to another or the same.
template <typename From, typename To>
inline void copy(int64_t n, const From* from, To* to) {
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) store(to + j, load(from + j));
  for (; j < n; ++j) put(to + j, get(from + j));
}

// Copy rows x columns of `from` into rows of `width` with zeros behind.
template <typename T>
void pack(int64_t rows, int64_t columns, const T* from, int64_t stride, float* to, int64_t width) {
  for (int64_t i = 0; i < rows; ++i) {
    copy(columns, from + i * stride, to + i * width);
    std::memset(to + i * width + columns, 0, (width - columns) * sizeof(float));
  }
}

template <typename T>
void unpack(int64_t rows, int64_t columns, const float* from, int64_t width, T* to, int64_t stride) {
  for (int64_t i = 0; i < rows; ++i) copy(columns, from + i * width, to + i * stride);
}

// Of two rows x and y of a matrix, STEP apart, swap x's lanes with STEP in their number and y's without.
template <int STEP, int... I>
inline void exchange(Vec& x, Vec& y, std::integer_sequence<int, I...>) {
  const Vec old = x;
  x = __builtin_shufflevector(old, y, (I & STEP ? LANES + I - STEP : I)...);
  y = __builtin_shufflevector(old, y, (I & STEP ? LANES + I : I + STEP)...);
}

template <int STEP>
inline void exchange_all(Vec* rows) {
  for (int i = 0; i < LANES; ++i)
    if (!(i & STEP)) exchange<STEP>(rows[i], rows[i + STEP], Lanes{});
}

// As `pack`, transposed: columns rows of `width`.
template <typename T>
void pack_transposed(int64_t rows, int64_t columns, const T* from, int64_t stride, float* to, int64_t width) {
  const int64_t whole = columns / LANES * LANES;
  for (int64_t i = 0; i < rows; i += LANES)
    for (int64_t j = 0; j < whole; j += LANES) {
      Vec tile[LANES] = {};
      for (int64_t l = 0; l < std::min(LANES, rows - i); ++l) tile[l] = load(from + (i + l) * stride + j);
      exchange_all<8>(tile);
      exchange_all<4>(tile);
      exchange_all<2>(tile);
      exchange_all<1>(tile);
      for (int64_t l = 0; l < LANES; ++l) store(to + (j + l) * width + i, tile[l]);
    }
  for (int64_t j = whole; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) to[j * width + i] = get(from + i * stride + j);
    std::memset(to + j * width + rows, 0, (width - rows) * sizeof(float));
  }
}

// 0 where attending is allowed and -infinity elsewhere, for n keys and the padding up to `width`.
void pack_mask(const uint8_t* allowed, int64_t stride, int64_t n, float* to, int64_t width) {
  for (int64_t s = 0; s < n; ++s) to[s] = !allowed || allowed[s * stride] ? 0.0f : -INFINITY;
  for (int64_t s = n; s < width; ++s) to[s] = -INFINITY;
}

// Sizes B, H, T, S, K, then the strides by batch, head and position of four tensors (q, k, v and the output or its
// gradient), then the mask's four strides (0 where it is broadcast).
struct Attention {
  int64_t b, h, t, s, k;
  int64_t q[3], key[3], v[3], o[3];
  int64_t mask[4];
};

float* scratch(size_t n) {
  thread_local std::vector<float> memory;
  if (memory.size() < n) memory.resize(n);
  return memory.data();
}


// weights (B, H, T, S) before dropout and out = dropout(softmax(q k^T * scale)) v; rows that may attend nowhere are 0.
template <typename T>
void attention_forward(const Attention& z, const T* q, const T* k, const T* v, const uint8_t* mask, float scale,
                       const Dropout* dropout, float* weights, T* out) {
  const int64_t sp = padded(z.s), kp = padded(z.k);
  float* kt = scratch(z.k * sp + z.s * kp + z.t * sp + 2 * z.t * kp + z.t * z.s + sp);
  float *vv = kt + z.k * sp, *scores = vv + z.s * kp, *result = scores + z.t * sp, *factors = result + z.t * kp;
  float *bias = factors + z.t * z.s, *qq = bias + sp;
  const bool same_for_all = !mask || (z.mask[1] == 0 && z.mask[2] == 0);
  for (int64_t b = 0; b < z.b; ++b)
    for (int64_t h = 0; h < z.h; ++h) {
      pack_transposed(z.s, z.k, k + b * z.key[0] + h * z.key[1], z.key[2], kt, sp);
      pack(z.s, z.k, v + b * z.v[0] + h * z.v[1], z.v[2], vv, kp);
      pack(z.t, z.k, q + b * z.q[0] + h * z.q[1], z.q[2], qq, kp);
      multiply(z.t, sp, z.k, qq, kp, 1, kt, scores);
      const int64_t first = (b * z.h + h) * z.t * z.s;
      if (dropout) dropout->factors(first, z.t * z.s, factors);
      for (int64_t t = 0; t < z.t; ++t) {
        float* row = scores + t * sp;
        const uint8_t* allowed = mask ? mask + b * z.mask[0] + h * z.mask[1] + t * z.mask[2] : nullptr;
        if (!same_for_all || (h == 0 && t == 0)) pack_mask(allowed, z.mask[3], z.s, bias, sp);
        Vec best = all(-INFINITY);
        for (int64_t s = 0; s < sp; s += LANES) {
          const Vec x = load(row + s) * scale + load(bias + s);
          best = larger(x, best);
          store(row + s, x);
        }
        const float most = largest(best);
        const bool empty = most == -INFINITY;
        Vec total = {};
        for (int64_t s = 0; s < sp; s += LANES) {
          const Vec e = empty ? Vec{} : exp(load(row + s) - most);
          total += e;
          store(row + s, e);
        }
        const Vec inverse = all(empty ? 0.0f : 1.0f / sum(total));
        for (int64_t s = 0; s < sp; s += LANES) store(row + s, load(row + s) * inverse);
        std::memcpy(weights + first + t * z.s, row, z.s * sizeof(float));
        if (dropout)
          for (int64_t s = 0; s < z.s; ++s) row[s] *= factors[t * z.s + s];
      }
      multiply(z.t, kp, z.s, scores, sp, 1, vv, result);
      unpack(z.t, z.k, result, kp, out + b * z.o[0] + h * z.o[1], z.o[2]);
    }
}

// The gradients of q, k and v, laid out like those, from `grad`, that of the output.
template <typename T>
void attention_backward(const Attention& z, const T* q, const T* k, const T* v, const float* weights, const T* grad,
                        float scale, const Dropout* dropout, T* dq, T* dk, T* dv) {
  const int64_t sp = padded(z.s), kp = padded(z.k);
  float* vt = scratch(z.k * sp + z.s * kp + 2 * z.t * kp + 2 * z.t * sp + std::max(z.t, z.s) * kp + z.t * z.s);
  float *kk = vt + z.k * sp, *qq = kk + z.s * kp, *go = qq + z.t * kp, *dw = go + z.t * kp, *w = dw + z.t * sp;
  float *result = w + z.t * sp, *factors = result + std::max(z.t, z.s) * kp;
  for (int64_t b = 0; b < z.b; ++b)
    for (int64_t h = 0; h < z.h; ++h) {
      pack_transposed(z.s, z.k, v + b * z.v[0] + h * z.v[1], z.v[2], vt, sp);
      pack(z.s, z.k, k + b * z.key[0] + h * z.key[1], z.key[2], kk, kp);
      pack(z.t, z.k, q + b * z.q[0] + h * z.q[1], z.q[2], qq, kp);
      pack(z.t, z.k, grad + b * z.o[0] + h * z.o[1], z.o[2], go, kp);
      const int64_t first = (b * z.h + h) * z.t * z.s;
      pack(z.t, z.s, weights + first, z.s, w, sp);
      multiply(z.t, sp, z.k, go, kp, 1, vt, dw);
      if (dropout) {
        dropout->factors(first, z.t * z.s, factors);
        for (int64_t t = 0; t < z.t; ++t)
          for (int64_t s = 0; s < z.s; ++s) dw[t * sp + s] *= factors[t * z.s + s];
      }
      for (int64_t t = 0; t < z.t; ++t) {  // through the softmax: w * (dw - sum(w * dw))
        Vec total = {};
        for (int64_t s = 0; s < sp; s += LANES) total += load(w + t * sp + s) * load(dw + t * sp + s);
        const Vec mean = all(sum(total));
        for (int64_t s = 0; s < sp; s += LANES)
          store(dw + t * sp + s, load(w + t * sp + s) * (load(dw + t * sp + s) - mean) * scale);
      }
      if (dropout)
        for (int64_t t = 0; t < z.t; ++t)
          for (int64_t s = 0; s < z.s; ++s) w[t * sp + s] *= factors[t * z.s + s];
      multiply(z.t, kp, z.s, dw, sp, 1, kk, result);
      unpack(z.t, z.k, result, kp, dq + b * z.q[0] + h * z.q[1], z.q[2]);
      multiply(z.s, kp, z.t, dw, 1, sp, qq, result);
      unpack(z.s, z.k, result, kp, dk + b * z.key[0] + h * z.key[1], z.key[2]);
      multiply(z.s, kp, z.t, w, 1, sp, go, result);
      unpack(z.s, z.k, result, kp, dv + b * z.v[0] + h * z.v[1], z.v[2]);
    }
}

// y = dropout(x), n elements; the gradient goes back by the same call.
template <typename T>
void dropout_apply(const T* x, int64_t n, const Dropout& dropout, T* y) {
  constexpr int64_t CHUNK = 1024;
  float factors[CHUNK];
  for (int64_t first = 0; first < n; first += CHUNK) {
    const int64_t count = std::min(CHUNK, n - first);
    dropout.factors(first, count, factors);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) store(y + first + i, load(x + first + i) * load(factors + i));
    for (; i < count; ++i) put(y + first + i, get(x + first + i) * factors[i]);
  }
}

// y = LayerNorm(x + dropout(s)), rows x width; keeps the normalised rows and 1 / deviation for the way back.
template <typename T>
void add_norm_forward(const float* x, const T* s, const float* gain, const float* bias, int64_t rows, int64_t width,
                      float epsilon, const Dropout* dropout, float* normal, float* inverse, float* y) {
  float* factors = scratch(width);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * width;
    float* row = normal + at;
    copy(width, s + at, row);
    if (dropout) {
      dropout->factors(at, width, factors);
      for (int64_t j = 0; j < width; ++j) row[j] = x[at + j] + row[j] * factors[j];
    } else {
      for (int64_t j = 0; j < width; ++j) row[j] += x[at + j];
    }
    const float mean = sum_over(width, [&](int64_t j, auto kind) { return get(row + j, kind); }) / width;
    const float square = sum_over(width, [&](int64_t j, auto kind) {
      const auto d = get(row + j, kind) - mean;
      return d * d;
    });
    const float scale = 1.0f / std::sqrt(square / width + epsilon);
    inverse[i] = scale;
    for (int64_t j = 0; j < width; ++j) {
      row[j] = (row[j] - mean) * scale;
      y[at + j] = row[j] * gain[j] + bias[j];
    }
  }
}

// Adds to dgain and dbias; writes dx and ds.
template <typename T>
void add_norm_backward(const float* grad, const float* normal, const float* inverse, const float* gain, int64_t rows,
                       int64_t width, const Dropout* dropout, float* dx, T* ds, float* dgain, float* dbias) {
  float* factors = scratch(width);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * width;
    const float *g = grad + at, *n = normal + at;
    const auto through = [&](int64_t j, auto kind) { return get(g + j, kind) * get(gain + j, kind); };
    const float mean = sum_over(width, through) / width;
    const float along =
        sum_over(width, [&](int64_t j, auto kind) { return through(j, kind) * get(n + j, kind); }) / width;
    for (int64_t j = 0; j < width; ++j) {
      dgain[j] += g[j] * n[j];
      dbias[j] += g[j];
    }
    for (int64_t j = 0; j < width; ++j) dx[at + j] = inverse[i] * (g[j] * gain[j] - mean - n[j] * along);
    if (dropout) {
      dropout->factors(at, width, factors);
      for (int64_t j = 0; j < width; ++j) factors[j] *= dx[at + j];
      copy(width, factors, ds + at);
    } else {
      copy(width, dx + at, ds + at);
    }
  }
}

// Of rows x width logits: each row's log-sum-exp and the target's logit; the logits become softmax, less 1 - smoothing
// at the target: the gradient but for what is constant over the vocabulary.
template <typename T>
void cross_entropy(T* logits, const int64_t* targets, int64_t rows, int64_t width, float smoothing, float* lse,
                   float* target_logit) {
  constexpr bool in_place = std::is_same_v<T, float>;
  for (int64_t i = 0; i < rows; ++i) {
    T* given = logits + i * width;
    float* row;
    if constexpr (in_place)
      row = given;
    else
      copy(width, given, row = scratch(width));
    target_logit[i] = row[targets[i]];
    const float most = largest(row, width);
    Vec total = {};
    float rest = 0;
    int64_t j = 0;
    for (; j + LANES <= width; j += LANES) {
      const Vec e = exp(load(row + j) - most);
      total += e;
      store(row + j, e);
    }
    for (; j < width; ++j) rest += row[j] = std::exp(row[j] - most);
    const float whole = sum(total) + rest;
    lse[i] = most + std::log(whole);
    const float inverse = 1.0f / whole;
    for (j = 0; j < width; ++j) row[j] *= inverse;
    row[targets[i]] -= 1.0f - smoothing;
    if constexpr (!in_place) copy(width, row, given);
  }
}

}  // namespace

// What Python calls: each for tensors in float and in bf16.
#define KERNELS(T, END)                                                                                                \
  void attention_forward_##END(const Attention* shape, const T* q, const T* k, const T* v, const uint8_t* mask,        \
                               float scale, const Dropout* dropout, float* weights, T* out) {                          \
    attention_forward(*shape, q, k, v, mask, scale, dropout, weights, out);                                            \
  }                                                                                                                    \
  void attention_backward_##END(const Attention* shape, const T* q, const T* k, const T* v, const float* weights,      \
                                const T* grad, float scale, const Dropout* dropout, T* dq, T* dk, T* dv) {             \
    attention_backward(*shape, q, k, v, weights, grad, scale, dropout, dq, dk, dv);                                    \
  }                                                                                                                    \
  void dropout_apply_##END(const T* x, int64_t n, const Dropout* dropout, T* y) { dropout_apply(x, n, *dropout, y); }  \
  void add_norm_forward_##END(const float* x, const T* s, const float* gain, const float* bias, int64_t rows,          \
                              int64_t width, float epsilon, const Dropout* dropout, float* normal, float* inverse,     \
                              float* y) {                                                                              \
    add_norm_forward(x, s, gain, bias, rows, width, epsilon, dropout, normal, inverse, y);                             \
  }                                                                                                                    \
  void add_norm_backward_##END(const float* grad, const float* normal, const float* inverse, const float* gain,        \
                               int64_t rows, int64_t width, const Dropout* dropout, float* dx, T* ds, float* dgain,    \
                               float* dbias) {                                                                         \
    add_norm_backward(grad, normal, inverse, gain, rows, width, dropout, dx, ds, dgain, dbias);                        \
  }                                                                                                                    \
  void cross_entropy_##END(T* logits, const int64_t* targets, int64_t rows, int64_t width, float smoothing,            \
                           float* lse, float* target_logit) {                                                          \
    cross_entropy(logits, targets, rows, width, smoothing, lse, target_logit);                                         \
  }

extern "C" {
KERNELS(float, float)
KERNELS(Bf16, bf16)
}
