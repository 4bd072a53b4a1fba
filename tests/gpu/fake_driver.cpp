// A CUDA driver without a GPU: "device" memory is the host's, kernels run at once, in the host's
// build of mesh.cu. It answers the functions that facegeo calls itself; see fake_gpu.py for PyCUDA.
#include "../../facegeo/ops/csrc/mesh.cu"

#include <string.h>

namespace {

struct Launched {
  const char *name;
  int64_t grid, block, shared;
  uintptr_t stream;
  MeshArgs args;
};

int g_fail = 0;  // the next call of g_fail_name answers this
char g_fail_name[64];
int64_t g_launches = 0, g_graph_launches = 0;
Launched g_last;
std::vector<Launched> *g_recording = nullptr;
uintptr_t g_recorded_stream = 0;

int result(const char *name) {
  if (g_fail && !strcmp(name, g_fail_name)) {
    const int code = g_fail;
    g_fail = 0;
    return code;
  }
  return 0;
}

int run(const Launched &l) {
  g_last = l;
  ++g_launches;
  if (l.block != kThreads || l.grid < 1) return 1;
  if (!strcmp(l.name, "facegeo_mesh_scalar")) {
    if (l.shared != 0) return 1;
    facegeo_mesh_scalar(&l.args, l.grid);
  } else {
    if (l.shared != shared_bytes(l.args) || l.shared > 48 * 1024) return 1;
    if (!strcmp(l.name, "facegeo_mesh_tensor4") && l.args.steps != 4) return 1;
    facegeo_mesh_tensor(&l.args, l.grid);
  }
  return 0;
}

}  // namespace

extern "C" {

void fake_fail(const char *name, int code) {
  g_fail = code;
  strncpy(g_fail_name, name, sizeof g_fail_name - 1);
}
int64_t fake_launches() { return g_launches; }
int64_t fake_graph_launches() { return g_graph_launches; }
const char *fake_last_kernel() { return g_last.name; }
int64_t fake_last_stream() { return static_cast<int64_t>(g_last.stream); }

int cuDriverGetVersion(int *version) { *version = 13000; return result("cuDriverGetVersion"); }
int cuGetErrorString(int code, const char **text) {
  *text = code == 209 ? "no kernel image is available for execution on the device" : "some error";
  return 0;
}
int cuModuleLoadData(void **module, const void *) {
  *module = &g_last;
  return result("cuModuleLoadData");
}
int cuModuleGetFunction(void **function, void *, const char *name) {
  static const char *names[] = {"facegeo_mesh_scalar", "facegeo_mesh_tensor4",
                                "facegeo_mesh_tensor"};
  for (const char *&known : names) {
    if (!strcmp(name, known)) { *function = &known; return result("cuModuleGetFunction"); }
  }
  return 500;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void *stream, void **arguments, void **extra) {
  if (const int code = result("cuLaunchKernel")) return code;
  if (gy * gz * by * bz != 1 || extra) return 1;
  Launched l{*static_cast<const char **>(function), gx, bx, shared,
             reinterpret_cast<uintptr_t>(stream), *static_cast<MeshArgs *>(arguments[0])};
  if (g_recording && l.stream == g_recorded_stream) { g_recording->push_back(l); return 0; }
  return run(l);
}
int cuStreamBeginCapture_v2(void *stream, int mode) {
  if (const int code = result("cuStreamBeginCapture_v2")) return code;
  if (!stream || mode != 1 || g_recording) return 1;
  g_recording = new std::vector<Launched>;
  g_recorded_stream = reinterpret_cast<uintptr_t>(stream);
  return 0;
}
int cuStreamEndCapture(void *, void **graph) {
  if (!g_recording) return 1;
  *graph = g_recording;
  g_recording = nullptr;
  return result("cuStreamEndCapture");
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
  *executable = new std::vector<Launched>(*static_cast<std::vector<Launched> *>(graph));
  return result("cuGraphInstantiateWithFlags");
}
int cuGraphDestroy(void *graph) { delete static_cast<std::vector<Launched> *>(graph); return 0; }
int cuGraphExecDestroy(void *g) { delete static_cast<std::vector<Launched> *>(g); return 0; }
int cuGraphLaunch(void *executable, void *) {
  ++g_graph_launches;
  for (const Launched &l : *static_cast<std::vector<Launched> *>(executable)) {
    if (const int code = run(l)) return code;
  }
  return result("cuGraphLaunch");
}

}  // extern "C"
