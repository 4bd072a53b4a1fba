// Faces as shaded surfaces, drawn by the graphics card onto a canvas of their own, which is then
// copied over the picture. Without WebGL there is none: `openSurface` gives null.

const VERTEX = `#version 300 es
uniform vec3 size;  // width, height, and what depth is divided by
in vec3 position;   // photo pixels, y down, z to the viewer
in vec3 normal;
out vec3 towards;
void main() {
  vec2 at = (position.xy + 0.5) / size.xy * 2.0 - 1.0;
  gl_Position = vec4(at.x, -at.y, -position.z / size.z, 1.0);
  towards = normal;
}`;

// One light from the upper left, a weak one from the right, some from everywhere.
const FRAGMENT = `#version 300 es
precision highp float;
in vec3 towards;
out vec4 colour;
const vec3 skin = vec3(0.78, 0.84, 0.89);
void main() {
  vec3 n = normalize(towards);
  float light = 0.32 + 0.62 * max(dot(n, normalize(vec3(-0.45, -0.55, 0.7))), 0.0)
    + 0.16 * max(dot(n, normalize(vec3(0.9, 0.0, 0.4))), 0.0);
  colour = vec4(skin * light, 1.0);
}`;

/** A surface layer, or null where the browser has no WebGL 2. */
export function openSurface() {
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
  return gl && new Surface(canvas, gl);
}

class Surface {
  constructor(canvas, gl) {
    this.canvas = canvas;
    this.gl = gl;
    this.program = linked(gl);
    gl.useProgram(this.program);
    gl.enable(gl.DEPTH_TEST);
    this.buffers = ["position", "normal"].map((name) => {
      const buffer = gl.createBuffer();
      const place = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
      return buffer;
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  }

  /**
   * Draw faces onto a 2D canvas, as large as the photo.
   *
   * @param faces Float32Arrays of vertices in photo pixels; nearer parts hide others
   * @param triangles Uint16Array, three vertices each
   */
  draw(context, faces, triangles, opacity = 0.85) {
    const { gl, canvas } = this;
    const { width, height } = context.canvas;
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height] = [width, height];
    }
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniform3f(gl.getUniformLocation(this.program, "size"), width, height, 4 * (width + height));
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.DYNAMIC_DRAW);
    for (const vertices of faces) {
      [vertices, normalsOf(vertices, triangles)].forEach((content, i) => {
        gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[i]);
        gl.bufferData(gl.ARRAY_BUFFER, content, gl.DYNAMIC_DRAW);
      });
      gl.drawElements(gl.TRIANGLES, triangles.length, gl.UNSIGNED_SHORT, 0);
    }
    context.save();
    context.globalAlpha = opacity;
    context.drawImage(canvas, 0, 0);
    context.restore();
  }
}

/** Outward normals of the vertices, not of unit length: sums of those of the triangles around. */
export function normalsOf(vertices, triangles) {
  const normals = new Float32Array(vertices.length);
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [3 * triangles[t], 3 * triangles[t + 1], 3 * triangles[t + 2]];
    const ux = vertices[b] - vertices[a];
    const uy = vertices[b + 1] - vertices[a + 1];
    const uz = vertices[b + 2] - vertices[a + 2];
    const vx = vertices[c] - vertices[a];
    const vy = vertices[c + 1] - vertices[a + 1];
    const vz = vertices[c + 2] - vertices[a + 2];
    // Counter-clockwise seen from outside with y up is clockwise with y down.
    const [nx, ny, nz] = [uz * vy - uy * vz, ux * vz - uz * vx, uy * vx - ux * vy];
    for (const corner of [a, b, c]) {
      normals[corner] += nx;
      normals[corner + 1] += ny;
      normals[corner + 2] += nz;
    }
  }
  return normals;
}

function linked(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    throw new Error(`the mesh cannot be drawn: ${gl.getProgramInfoLog(program)}`);
  }
  return program;
}
