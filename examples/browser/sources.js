// Where frames come from: a camera, a video file, pictures. Each is an async iterator over
// { bitmap, timestamp, name }; leaving its loop releases what was opened.

/** The camera, newest frame first. */
export async function* cameraFrames(video) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("The browser gives no camera to this page: open it by https or on localhost.");
  }
  const wanted = { video: { width: { ideal: 1280 }, facingMode: "user" }, audio: false };
  const stream = await navigator.mediaDevices.getUserMedia(wanted).catch((error) => {
    throw new Error(`The camera cannot be used (${error.name}): is it connected, free and allowed?`);
  });
  try {
    video.srcObject = stream;
    yield* playedFrames(video, "camera");
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  }
}

/** A video file at its own speed; it waits while a frame is being measured. */
export async function* videoFrames(video, file) {
  const url = URL.createObjectURL(file);
  try {
    video.src = url;
    yield* playedFrames(video, file.name, { waits: true });
  } finally {
    video.pause();
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  }
}

/** Pictures in the order of their names, numbers by value. */
export async function* pictureFrames(files) {
  const sorted = [...files].sort((a, b) =>
    a.name.localeCompare(b.name, undefined, { numeric: true }),
  );
  for (const [index, file] of sorted.entries()) {
    // As the bytes are: a colour profile would change what the network sees.
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
      throw new Error(`${file.name}: not a picture that this browser can read.`);
    });
    yield { bitmap, timestamp: index, name: file.name };
  }
}

async function* playedFrames(video, name, { waits = false } = {}) {
  const failed = () => {
    const reason = video.error?.message || "unknown format";
    return new Error(`${name}: this browser cannot play it (${reason}).`);
  };
  let ended = false;
  const wake = new EventTarget();
  const signal = () => wake.dispatchEvent(new Event("change"));
  const finish = () => {
    ended = true;
    signal();
  };
  const listening = new AbortController();
  for (const event of ["ended", "error", "emptied"]) {
    video.addEventListener(event, finish, { signal: listening.signal });
  }
  const play = () =>
    video.play().catch((error) => {
      if (error.name !== "AbortError") throw failed();
    });
  // The picture is taken in the callback itself: a moment later the next one may be shown.
  const next = () =>
    new Promise((resolve, reject) => {
      wake.addEventListener("change", () => resolve(null), { once: true });
      const take = async (_now, { mediaTime }) => {
        try {
          if (waits) video.pause();
          resolve({ bitmap: await createImageBitmap(video), timestamp: mediaTime, name });
        } catch (error) {
          if (error.name !== "InvalidStateError") {
            reject(error);
            return;
          }
          // A camera's first callback may come before its first picture.
          video.requestVideoFrameCallback(take);
          if (waits) play().catch(reject);
        }
      };
      video.requestVideoFrameCallback(take);
    });
  try {
    let coming = next();
    await play();
    for (let frame = await coming; frame; frame = await coming) {
      yield frame;
      if (ended) break;
      coming = next();
      if (waits) await play();
    }
    if (video.error) throw failed();
  } finally {
    listening.abort();
  }
}
