// Times the kernels at the default model's sizes against the bandwidth and arithmetic of the machine: verify first.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "kernels/cpu/stream.h"
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;
using Clock = std::chrono::steady_clock;

/// Best of as many runs as fit half a second, at least three: others use the machine too.
double best_seconds(const std::function<void()>& run) {
  double best = 1e9, total = 0;
  for (int i = 0; i < 3 || total < 0.5; ++i) {
    const auto start = Clock::now();
    run();
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, took), total += took;
  }
  return best;
}

struct Bench {
  ThreadPool& pool;
  double stream;

  void report(const char* what, double seconds, double bytes, double macs) const {
    std::printf("%-34s %9.3f ms", what, seconds * 1e3);
    if (bytes > 0)
      std::printf("  %6.1f GB/s %4.0f %% of stream", bytes / seconds * 1e-9, 100e-9 * bytes / seconds / stream);
    if (macs > 0) std::printf("  %7.1f GMAC/s", macs / seconds * 1e-9);
    std::printf("\n");
  }
};

// ---- weights of SmolLM2-135M: 30 layers and the embedding, 98 MB

struct Weights {
  struct Layer {
    cpu::Matrix q, k, v, o, gate, up, down;
  };
  std::vector<Layer> layers;
  cpu::Matrix embedding;
  static constexpr int64_t kWidth = 576, kKv = 192, kFfn = 1536, kVocab = 49152;

  Weights() {
    const auto make = [](int64_t n_row, int64_t n_col) {
      return cpu::pack(FileMatrix(TensorType::q4_1, n_row, n_col, 1).view());
    };
    for (int l = 0; l < 30; ++l) {
      layers.push_back({make(kWidth, kWidth), make(kKv, kWidth), make(kKv, kWidth), make(kWidth, kWidth),
                        make(kFfn, kWidth), make(kFfn, kWidth), make(kWidth, kFfn)});
    }
    embedding = cpu::pack(FileMatrix(TensorType::q8_0, kVocab, kWidth, 2).view());
  }
  double bytes() const {
    const Layer& l = layers[0];
    return static_cast<double>(
        30 * (l.q.bytes() + l.k.bytes() + l.v.bytes() + l.o.bytes() + l.gate.bytes() + l.up.bytes() + l.down.bytes()) +
        embedding.bytes());
  }
};

void run_layers(const Weights& w, ThreadPool& pool, cpu::MatmulScratch& scratch, cpu::Activations how, int64_t n_token,
                const std::vector<float>& x, std::vector<float>& y) {
  const int64_t wide = 4 * Weights::kFfn;
  for (const Weights::Layer& l : w.layers) {
    const cpu::Product qkv[] = {{&l.q, y.data(), wide}, {&l.k, y.data() + 576, wide}, {&l.v, y.data() + 768, wide}};
    cpu::matmul(pool, scratch, how, x.data(), n_token, qkv);
    const cpu::Product o[] = {{&l.o, y.data(), wide}};
    cpu::matmul(pool, scratch, how, x.data(), n_token, o);
    const cpu::Product up[] = {{&l.gate, y.data(), wide}, {&l.up, y.data() + 1536, wide}};
    cpu::matmul(pool, scratch, how, x.data(), n_token, up);
    const cpu::Product down[] = {{&l.down, y.data(), wide}};
    cpu::matmul(pool, scratch, how, x.data(), n_token, down);
  }
}

void bench_weights(const Bench& bench) {
  const Weights w;
  auto scratch = cpu::make_matmul_scratch();
  std::vector<float> y(512 * 4 * Weights::kFfn), logits(Weights::kVocab);
  const std::vector<float> x = Random(1).normals(512 * Weights::kFfn);
  const double macs = 30.0 * 576 * (576 * 2 + 192 * 2 + 1536 * 3);
  bench.report("decode, all weights, q8", best_seconds([&] {
                 run_layers(w, bench.pool, *scratch, cpu::Activations::q8, 1, x, y);
                 const cpu::Product head[] = {{&w.embedding, logits.data(), Weights::kVocab}};
                 cpu::matmul(bench.pool, *scratch, cpu::Activations::q8, x.data(), 1, head);
               }),
               w.bytes(), 0);
  for (const int64_t n_token : {int64_t{8}, int64_t{64}, int64_t{512}}) {
    bench.report(("prefill " + std::to_string(n_token) + " tokens, q8").c_str(),
                 best_seconds([&] { run_layers(w, bench.pool, *scratch, cpu::Activations::q8, n_token, x, y); }), 0,
                 macs * static_cast<double>(n_token));
  }
  bench.report("prefill 64 tokens, f32 activations",
               best_seconds([&] { run_layers(w, bench.pool, *scratch, cpu::Activations::f32, 64, x, y); }), 0,
               macs * 64);
  bench.report("decode layers, f32 activations",
               best_seconds([&] { run_layers(w, bench.pool, *scratch, cpu::Activations::f32, 1, x, y); }), 0, macs);
}

// ---- attention of 30 layers, 3 KV heads of 64, group 3

/// A cache's types in turns, so that what else the machine does meets all of them.
void bench_cache_types(const Bench& bench) {
  constexpr int32_t kDepth = 8192, kKvHeads = 3, kGroup = 3, kWidth = 64, kLayers = 30;
  const Cache values(kDepth, kWidth, KvType::q8, 1);  // which fit all types, bf16 nearly
  const std::vector<float> q = Random(3).normals(kKvHeads * kGroup * kWidth);
  std::vector<float> out(q.size());
  auto scratch = cpu::make_attend_scratch();
  std::vector<std::vector<Cache>> caches;
  for (const KvType type : kKvTypes) {
    std::vector<Cache>& of_type = caches.emplace_back();
    for (int i = 0; i < kLayers * kKvHeads; ++i) of_type.push_back(values.in(type));
  }
  std::vector<double> best(caches.size(), 1e9);
  for (int round = 0; round < 4; ++round) {
    for (size_t t = 0; t < caches.size(); ++t) {
      best[t] =
          std::min(best[t], best_seconds([&] {
                     for (size_t l = 0; l < kLayers; ++l) {
                       std::vector<KvBlocks> kv;
                       for (size_t g = 0; g < kKvHeads; ++g) kv.push_back(caches[t][l * kKvHeads + g].blocks());
                       const std::vector<PositionSet> sets(kKvHeads, everything_up_to(kDepth));
                       cpu::attend(bench.pool, *scratch, q.data(), kGroup, kv, sets, 0.125F, out.data(), nullptr, 0);
                     }
                   }));
    }
  }
  for (size_t t = 0; t < caches.size(); ++t) {
    bench.report(("attend run of 8192, cache " + std::string(name_of(kKvTypes[t]))).c_str(), best[t],
                 2.0 * kLayers * kKvHeads * kDepth * static_cast<double>(row_bytes(kKvTypes[t], kWidth)), 0);
  }
}

void bench_attention(const Bench& bench) {
  constexpr int32_t kDepth = 8192, kKvHeads = 3, kGroup = 3, kWidth = 64, kLayers = 30;
  std::vector<Cache> caches;
  std::vector<std::vector<KvBlocks>> kv(kLayers);
  for (int l = 0; l < kLayers; ++l) {
    for (int g = 0; g < kKvHeads; ++g) caches.emplace_back(kDepth, kWidth, KvType::f16, 1);
  }
  for (int i = 0; i < kLayers * kKvHeads; ++i)
    kv[static_cast<size_t>(i / kKvHeads)].push_back(caches[static_cast<size_t>(i)].blocks());
  const std::vector<float> q = Random(3).normals(512 * kKvHeads * kGroup * kWidth);
  std::vector<float> out(q.size()), scores(kKvHeads * kGroup * kDepth);
  std::vector<float*> score_rows;
  for (int g = 0; g < kKvHeads; ++g) score_rows.push_back(&scores[static_cast<size_t>(g * kGroup * kDepth)]);
  auto scratch = cpu::make_attend_scratch();
  const auto decode = [&](const std::vector<PositionSet>& sets, bool scored) {
    return best_seconds([&] {
      for (const auto& layer : kv) {
        cpu::attend(bench.pool, *scratch, q.data(), kGroup, layer, sets, 0.125F, out.data(),
                    scored ? score_rows.data() : nullptr, kDepth);
      }
    });
  };
  const auto bytes = [](int n) { return 1.0 * kLayers * kKvHeads * n * kWidth * 4; };
  bench.report("attend run of 8192", decode({kKvHeads, everything_up_to(kDepth)}, false), bytes(kDepth), 0);
  bench.report("attend run of 8192, scored", decode({kKvHeads, everything_up_to(kDepth)}, true), bytes(kDepth), 0);
  bench.report("attend run of 1024", decode({kKvHeads, everything_up_to(1024)}, false), bytes(1024), 0);
  std::vector<int32_t> kept(kDepth - 1);
  for (int32_t i = 0; i < kDepth - 1; ++i) kept[static_cast<size_t>(i)] = i;
  std::shuffle(kept.begin(), kept.end(), Random(4).engine());
  kept.resize(1024);
  PositionSet set{.kept = kept.data(), .n_kept = 1024, .tail = kDepth - 1, .end = kDepth};
  bench.report("attend 1024 kept, gathered", decode({kKvHeads, set}, false), bytes(1024), 0);
  // Every layer and head has packed rows of its own: a cache of another sequence stands for them.
  std::vector<std::vector<std::byte>> keys, values;
  for (const Cache& cache : caches) {
    keys.push_back(cache.packed(kept, false, KvType::f16)), values.push_back(cache.packed(kept, true, KvType::f16));
  }
  bench.report("attend 1024 kept, packed", best_seconds([&] {
                 for (size_t l = 0; l < kLayers; ++l) {
                   std::vector<PositionSet> sets(kKvHeads, set);
                   for (size_t g = 0; g < kKvHeads; ++g) {
                     sets[g].packed_keys = keys[l * kKvHeads + g].data();
                     sets[g].packed_values = values[l * kKvHeads + g].data();
                   }
                   cpu::attend(bench.pool, *scratch, q.data(), kGroup, kv[l], sets, 0.125F, out.data(), nullptr, 0);
                 }
               }),
               bytes(1024), 0);
  for (const int32_t first : {0, 1536, kDepth - 512}) {
    const double macs = 1.0 * kKvHeads * kGroup * kWidth * 2 * 512 * (first + 256.5);
    bench.report(("prompt 512 at " + std::to_string(first) + ", one layer").c_str(), best_seconds([&] {
                   cpu::attend_prompt(bench.pool, *scratch, q.data(), 512, first, kGroup, kv[0], 0.125F, out.data());
                 }),
                 0, macs);
    std::vector<float> sums(kKvHeads * kGroup * kDepth);
    bench.report(("rows of 512 summed at " + std::to_string(first) + ", one layer").c_str(), best_seconds([&] {
                   cpu::sum_prompt_rows(bench.pool, *scratch, q.data(), 512, first, kGroup, kv[0], 0.125F, sums.data(),
                                        kDepth);
                 }),
                 0, macs);
  }
  const std::vector<float> raw = Random(7).normals(kGroup * kDepth, 3);
  bench.report("select 1024 of 8192, 30 layers", best_seconds([&] {
                 for (int i = 0; i < kLayers; ++i) {
                   std::copy(raw.begin(), raw.end(), scores.begin());
                   bench.pool.run(kKvHeads, [&](int64_t, int) {
                     std::vector<float> rows(raw), reduced(kDepth), wide(kDepth);
                     std::vector<int32_t> best(1024);
                     for (int h = 0; h < kGroup; ++h) cpu::softmax(&rows[static_cast<size_t>(h * kDepth)], kDepth);
                     cpu::reduce_heads(rows.data(), kGroup, kDepth, kDepth, Reduce::max, reduced.data());
                     cpu::max_pool(reduced.data(), kDepth, 7, wide.data());
                     cpu::top_k(wide.data(), kDepth, 1024, best.data());
                   });
                 }
               }),
               0, 0);
}

/// What a policy chooses at each step, with data of its own for each of 90 KV heads.
void bench_choices(const Bench& bench) {
  constexpr int32_t kPages = 512, kHeads = 90, kGroup = 3, kWidth = 64;
  std::vector<std::vector<float>> bounds;
  for (uint32_t i = 0; i < kHeads; ++i) {
    bounds.push_back(Random(i).normals(kPages * 2 * kWidth));
    for (size_t c = 0; c < bounds[i].size(); ++c) {
      float* const low = &bounds[i][c];
      if (c / kWidth % 2 == 0 && low[0] > low[kWidth]) std::swap(low[0], low[kWidth]);
    }
  }
  const std::vector<float> q = Random(5).normals(kGroup * kWidth);
  bench.report("512 pages scored, 90 heads", best_seconds([&] {
                 for (size_t layer = 0; layer < 30; ++layer) {
                   bench.pool.run(3, [&](int64_t g, int) {
                     std::vector<float> out(kPages);
                     cpu::page_scores(q.data(), kGroup, kWidth, bounds[3 * layer + static_cast<size_t>(g)].data(),
                                      kPages, out.data());
                   });
                 }
               }),
               4.0 * kHeads * kPages * 2 * kWidth, 1.0 * kHeads * kGroup * kPages * 2 * kWidth);
  for (const auto& [n, k] : {std::pair{512, 64}, {1024, 512}, {1025, 1024}}) {
    std::vector<float> row = Random(6).normals(n, 3);
    cpu::softmax(row.data(), n);
    bench.report(("top " + std::to_string(k) + " of " + std::to_string(n) + ", 90 times alone").c_str(),
                 best_seconds([&] {
                   std::vector<int32_t> best(static_cast<size_t>(k));
                   for (int i = 0; i < kHeads; ++i) cpu::top_k(row.data(), n, k, best.data());
                 }),
                 0, 0);
  }
}

void bench_regions(const Bench& bench) {
  std::atomic<int> sum{0};
  bench.report("1000 empty regions of 4 tasks", best_seconds([&] {
                 for (int i = 0; i < 1000; ++i)
                   bench.pool.run(4, [&](int64_t, int) { sum.fetch_add(1, std::memory_order_relaxed); });
               }),
               0, 0);
}

/// The benchmarked kernels on the benchmarked data, against the reference; the unit tests do this thoroughly.
bool verified(ThreadPool& pool) {
  const Cache cache(1000, 64, KvType::f16, 1);
  const KvBlocks kv = cache.blocks();
  const PositionSet set = everything_up_to(1000);
  const std::vector<float> q = Random(2).normals(3 * 64);
  std::vector<float> got(q.size());
  std::vector<double> want(q.size());
  auto scratch = cpu::make_attend_scratch();
  cpu::attend(pool, *scratch, q.data(), 3, {&kv, 1}, {&set, 1}, 0.125F, got.data(), nullptr, 0);
  reference::attend(pool, widen(q).data(), 3, {&kv, 1}, {&set, 1}, 0.125, want.data(), nullptr, 0);
  for (size_t i = 0; i < q.size(); ++i) {
    if (!(std::fabs(double{got[i]} - want[i]) < 1e-5)) return false;
  }
  return true;
}

}  // namespace
}  // namespace reattend

/// kernel_bench [threads] [target]
int main(int argc, char** argv) {
  using namespace reattend;
  try {
    ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : 0);
    if (argc > 2) cpu::use_target(argv[2]);
    if (!verified(pool)) {
      std::fprintf(stderr, "kernel_bench: attention differs from the reference; not timed\n");
      return 1;
    }
    const Bench bench{pool, cpu::stream_gbps(pool, 1.0)};
    std::printf("%s, %d threads, stream %.1f GB/s\n", std::string(cpu::target_name()).c_str(), pool.n_thread(),
                bench.stream);
    bench_regions(bench);
    bench_weights(bench);
    bench_cache_types(bench);
    bench_attention(bench);
    bench_choices(bench);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernel_bench: %s\n", error.what());
    return 1;
  }
}
