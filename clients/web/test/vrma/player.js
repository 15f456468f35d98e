// Plays take.vrma on avatar.vrm as any page with three-vrm does, without drawing;
// `tests/e2e/test_vrma_player.py` asks where the bones are.

import { AnimationMixer } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
import { createVRMAnimationClip, VRMAnimationLoaderPlugin } from "@pixiv/three-vrm-animation";

const loader = new GLTFLoader();
loader.register((parser) => new VRMLoaderPlugin(parser));
loader.register((parser) => new VRMAnimationLoaderPlugin(parser));

window.play = async (times, bones) => {
  const { vrm } = (await loader.loadAsync("avatar.vrm")).userData;
  const [animation] = (await loader.loadAsync("take.vrma")).userData.vrmAnimations;
  const clip = createVRMAnimationClip(animation, vrm);
  const mixer = new AnimationMixer(vrm.scene);
  mixer.clipAction(clip).play();
  const poses = times.map((time) => {
    mixer.setTime(time);
    vrm.update(0);
    const node = (bone) => vrm.humanoid.getNormalizedBoneNode(bone);
    return {
      turns: bones.map((bone) => node(bone)?.quaternion.toArray() ?? null),
      hips: node("hips").position.toArray(),
    };
  });
  return { duration: clip.duration, version: vrm.meta.metaVersion, poses };
};
document.title = "ready";
