// Faces on a canvas. Photo pixels have their origin at a pixel's centre, a canvas at its corner.

const COLOURS = {
  jaw: "#5ac8ff",
  right_eyebrow: "#78dc78",
  left_eyebrow: "#78dc78",
  nose_bridge: "#ffc85a",
  nose_base: "#ffc85a",
  right_eye: "#78ffff",
  left_eye: "#78ffff",
  outer_lips: "#ff8296",
  inner_lips: "#ffb4be",
};

/** Line width that suits a face of this size. */
function unitOf(landmarks) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 1; i < landmarks.length; i += 3) {
    low = Math.min(low, landmarks[i]);
    high = Math.max(high, landmarks[i]);
  }
  return Math.max((high - low) / 130, 0.4);
}

/** One pixel of the screen, in pixels of the canvas. */
function screenPixel({ canvas }) {
  return canvas.width / (canvas.clientWidth || canvas.width);
}

/** The 68 points, joined region by region; regions are { name, start, stop, closed }. */
export function drawLandmarks(context, landmarks, regions) {
  const unit = unitOf(landmarks);
  context.save();
  context.translate(0.5, 0.5);
  context.lineJoin = context.lineCap = "round";
  context.lineWidth = Math.max(screenPixel(context), 0.9 * unit);
  for (const { name, start, stop, closed } of regions) {
    context.beginPath();
    for (let i = start; i < stop; i++) context.lineTo(landmarks[3 * i], landmarks[3 * i + 1]);
    if (closed) context.closePath();
    context.strokeStyle = COLOURS[name] ?? "#ffffff";
    context.stroke();
  }
  context.fillStyle = "#ffffff";
  context.beginPath();
  const radius = Math.max(screenPixel(context), 1.1 * unit);
  for (let i = 0; i < landmarks.length; i += 3) {
    context.moveTo(landmarks[i] + radius, landmarks[i + 1]);
    context.arc(landmarks[i], landmarks[i + 1], radius, 0, 2 * Math.PI);
  }
  context.fill();
  context.restore();
}

/** Edges of the triangles that face the viewer; triangles is flat, three vertices each. */
export function drawMesh(context, vertices, triangles, landmarks) {
  context.save();
  context.translate(0.5, 0.5);
  context.lineWidth = Math.max(0.6 * screenPixel(context), 0.35 * unitOf(landmarks));
  context.strokeStyle = "rgba(190, 240, 255, 0.55)";
  context.beginPath();
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [3 * triangles[t], 3 * triangles[t + 1], 3 * triangles[t + 2]];
    const ux = vertices[b] - vertices[a];
    const uy = vertices[b + 1] - vertices[a + 1];
    const vx = vertices[c] - vertices[a];
    const vy = vertices[c + 1] - vertices[a + 1];
    // Counter-clockwise seen from outside with y up is clockwise with y down.
    if (ux * vy - uy * vx >= 0) continue;
    context.moveTo(vertices[a], vertices[a + 1]);
    context.lineTo(vertices[b], vertices[b + 1]);
    context.lineTo(vertices[c], vertices[c + 1]);
    context.closePath();
  }
  context.stroke();
  context.restore();
}

/** A face's number and angles above it. */
export function drawLabel(context, face) {
  const { yaw, pitch, roll } = face.pose;
  const degrees = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(0)}°`;
  let text = `#${face.id}  yaw ${degrees(yaw)}  pitch ${degrees(pitch)}  roll ${degrees(roll)}`;
  const wide = context.canvas.width;
  const size = Math.max(Math.min(9 * unitOf(face.landmarks), wide / 30), 12 * screenPixel(context));
  let [x0, x1, y0] = [Infinity, -Infinity, Infinity];
  for (let i = 0; i < face.landmarks.length; i += 3) {
    x0 = Math.min(x0, face.landmarks[i]);
    x1 = Math.max(x1, face.landmarks[i]);
  }
  // Above the forehead where it is drawn, else above the brows.
  const drawn = face.vertices ?? face.landmarks;
  for (let i = 1; i < drawn.length; i += 3) y0 = Math.min(y0, drawn[i]);
  context.save();
  context.font = `600 ${size}px system-ui, sans-serif`;
  if (context.measureText(text).width > 0.4 * wide) text = `#${face.id}`; // a small screen
  const width = context.measureText(text).width;
  const wanted = (x0 + x1 - width) / 2;
  const x = Math.max(size / 2, Math.min(wanted, wide - width - size / 2));
  const y = Math.max(y0 - (face.vertices ? 1.2 : 2.5) * size, 1.6 * size);
  context.fillStyle = "rgba(0, 0, 0, 0.6)";
  context.beginPath();
  context.roundRect(x - 0.5 * size, y - 1.2 * size, width + size, 1.7 * size, 0.4 * size);
  context.fill();
  context.fillStyle = "#ffffff";
  context.fillText(text, x, y);
  context.restore();
}
