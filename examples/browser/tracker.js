// Faces followed by their own landmarks: the everyday part of facegeo/track/tracker.py.
//
// The detector runs every `detect_every` frames, more often while no face is followed, and at once
// where a face is in doubt. What Python does beyond that is left out here: a face that was lost and
// comes back has a new number, and nothing is smoothed.

import { boundingBox, isInside, overlap, roiFromBox, roiFromLandmarks } from "./geometry.js";

export class Tracker {
  /**
   * @param detect photo -> [{ box, score }]
   * @param measure (photo, rois) -> [{ landmarks, presence, ... }], presence NaN where unknown
   * @param constants the parts `tracker` and `roi` of constants.json
   */
  constructor(detect, measure, { tracker, roi }) {
    this.detect = detect;
    this.measure = measure;
    this.rules = tracker;
    this.roiRule = roi;
    this.nextId = 1;
    this.tellsPresence = false;
    this.reset();
  }

  /** Forget all faces, as at a cut. Numbers are not used again. */
  reset() {
    this.tracks = [];
    this.sinceDetection = Infinity;
    this.size = "";
  }

  /** Faces of the next frame, by ascending id. */
  async update(photo) {
    const size = `${photo.width}x${photo.height}`;
    if (size !== this.size) this.reset();
    this.size = size;
    const inPhoto = (roi) => isInside(roi, photo.width, photo.height, this.roiRule);

    const detected = this.#isDetectionDue();
    if (detected) {
      this.#match(await this.detect(photo));
      this.sinceDetection = 0;
    }
    this.sinceDetection += 1;
    this.tracks = this.tracks.filter((track) => inPhoto(track.roi));
    const faces = await this.#measured(photo, inPhoto);
    this.tellsPresence ||= faces.some((face) => !Number.isNaN(face.presence));
    faces.forEach((face, i) => this.#judge(this.tracks[i], face));
    return this.#report(faces).map((face) => ({ ...face, detected }));
  }

  #isDetectionDue() {
    if (this.tracks.some((track) => track.doubt > 0)) return true;
    const { detect_every, detect_every_blind, search_every } = this.rules;
    const every = this.tellsPresence ? detect_every : detect_every_blind;
    return this.sinceDetection >= (this.tracks.length ? every : Math.min(every, search_every));
  }

  /** Boxes to tracks, the best pair first; boxes that are left are new faces. */
  #match(found) {
    const pairs = this.tracks.flatMap((track) =>
      found.map((face) => ({ track, face, iou: overlap(track.box, face.box) })),
    );
    pairs.sort((a, b) => b.iou - a.iou);
    const seen = new Map();
    const taken = new Set();
    for (const { track, face, iou } of pairs) {
      if (iou < this.rules.same_face || seen.has(track) || taken.has(face)) continue;
      seen.set(track, face);
      taken.add(face);
    }
    for (const track of this.tracks) {
      const face = seen.get(track);
      track.unseen = !face;
      if (!face) continue;
      track.score = face.score;
      // What a track in doubt held on to is not to be trusted.
      if (track.doubt) Object.assign(track, this.#place(face));
    }
    for (const face of found) {
      if (taken.has(face) || this.tracks.length >= this.rules.max_faces) continue;
      const track = { id: 0, doubt: 0, unseen: false, score: face.score, ...this.#place(face) };
      this.tracks.push(track);
    }
  }

  #place(face) {
    return { box: face.box, roi: roiFromBox(face.box, this.roiRule), placed: true };
  }

  /** The network on all regions; a region from the detector is first moved to the landmarks. */
  async #measured(photo, inPhoto) {
    if (!this.tracks.length) return [];
    const rois = this.tracks.map((track) => track.roi);
    const placed = [...rois.keys()].filter((i) => this.tracks[i].placed);
    if (placed.length) {
      const found = await this.#lookedAt(photo, placed.map((i) => rois[i]), inPhoto);
      found.forEach((face, k) => {
        const own = roiFromLandmarks(face.landmarks);
        if (inPhoto(own)) rois[placed[k]] = own;
      });
    }
    return this.measure(photo, rois);
  }

  /** New faces as in a photo: looked at again where their landmarks ask for another region. */
  async #lookedAt(photo, rois, inPhoto) {
    const { looks, first_slack, fine_slack, unquestioned } = this.rules;
    const faces = await this.#settled(photo, rois, first_slack, inPhoto);
    const doubtful = [...faces.keys()].filter((i) => faces[i].presence < unquestioned);
    if (looks === 1 || !doubtful.length) return faces;
    const regions = doubtful.map((i) => faces[i].roi);
    const finer = await this.#settled(photo, regions, fine_slack, inPhoto);
    finer.forEach((face, k) => {
      if (face.presence > faces[doubtful[k]].presence) faces[doubtful[k]] = face;
    });
    return faces;
  }

  async #settled(photo, regions, firstSlack, inPhoto) {
    const rois = [...regions];
    const slacks = rois.map(() => firstSlack);
    const faces = await this.measure(photo, rois);
    for (let look = 1; look < this.rules.looks; look++) {
      const wanted = faces.map((face) => roiFromLandmarks(face.landmarks));
      const rows = [...rois.keys()].filter(
        (i) => differ(rois[i], wanted[i], slacks[i]) && inPhoto(wanted[i]),
      );
      if (!rows.length) break;
      const again = await this.measure(photo, rows.map((i) => wanted[i]));
      rows.forEach((i, k) => {
        // Where another look believes less, it has left the face.
        const left = again[k].presence < 0.5 && again[k].presence < faces[i].presence;
        if (!left) faces[i] = again[k];
        rois[i] = wanted[i];
        slacks[i] = this.rules.fine_slack;
      });
    }
    return faces;
  }

  /** A face that is believed moves its track; one in doubt stays where it was last believed. */
  #judge(track, face) {
    const box = boundingBox(face.landmarks);
    const doubtful =
      face.presence < this.rules.least_presence ||
      (!track.placed && jumped(box, track.box, this.rules)) ||
      (!this.tellsPresence && track.unseen) ||
      this.tracks.some((other) => isOlder(other, track) && overlap(box, other.box) > this.rules.twice);
    if (doubtful) {
      Object.assign(track, { doubt: track.doubt + 1, placed: false });
      return;
    }
    const roi = steady(roiFromLandmarks(face.landmarks), face.roi, this.rules.roi_slack);
    Object.assign(track, { box, roi, doubt: 0, placed: false });
  }

  /** Number the new faces and let go of those too long in doubt. */
  #report(faces) {
    const result = [];
    this.tracks = this.tracks.filter((track, i) => {
      if (track.doubt && (!track.id || track.doubt >= this.rules.patience)) return false;
      track.id ||= this.nextId++;
      result.push({ ...faces[i], id: track.id, score: track.score });
      return true;
    });
    return result.sort((a, b) => a.id - b.id);
  }
}

/** Of two tracks on one face the younger has slipped; id 0 is one that was never believed. */
function isOlder(other, track) {
  return other.id > 0 && (track.id === 0 || other.id < track.id);
}

/** The old region unless the new one differs by more than the slack: less jitter. */
function steady(next, old, slack) {
  const side = Math.max(old[2] - old[0], old[3] - old[1]);
  return next.every((value, i) => Math.abs(value - old[i]) <= slack * side) ? old : next;
}

/** Whether the crop of another region would show something else. */
function differ(roi, other, slack) {
  const moved = roi.map((value, i) => Math.abs(value - other[i]));
  const away = Math.hypot(Math.max(moved[0], moved[2]), Math.max(moved[1], moved[3]));
  const side = roi[2] - roi[0];
  return Math.max(away, Math.abs(side - (other[2] - other[0]))) > slack * side;
}

/** Whether a box moved or grew more than faces do from one frame to the next. */
function jumped(box, before, { largest_jump, largest_growth }) {
  const size = (b) => (b[2] - b[0] + b[3] - b[1]) / 2;
  const shift = [0, 1].map((k) => (box[k] + box[k + 2] - before[k] - before[k + 2]) / 2);
  const growth = size(box) / Math.max(size(before), 1e-6);
  const far = Math.hypot(...shift) > largest_jump * size(before);
  return far || growth > largest_growth || growth < 1 / largest_growth;
}
