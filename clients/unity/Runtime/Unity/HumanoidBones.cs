using UnityEngine;

namespace GestureStreamer
{
    /// <summary>The VRM 1.0 humanoid in Unity's terms.</summary>
    internal static class HumanoidBones
    {
        /// <summary>Unity's bone for a VRM 1.0 one, LastBone if it has none. Thumbs are named otherwise.</summary>
        public static HumanBodyBones Of(string vrm)
        {
            switch (vrm)
            {
                case "hips": return HumanBodyBones.Hips;
                case "spine": return HumanBodyBones.Spine;
                case "chest": return HumanBodyBones.Chest;
                case "upperChest": return HumanBodyBones.UpperChest;
                case "neck": return HumanBodyBones.Neck;
                case "head": return HumanBodyBones.Head;
                case "leftShoulder": return HumanBodyBones.LeftShoulder;
                case "leftUpperArm": return HumanBodyBones.LeftUpperArm;
                case "leftLowerArm": return HumanBodyBones.LeftLowerArm;
                case "leftHand": return HumanBodyBones.LeftHand;
                case "leftThumbMetacarpal": return HumanBodyBones.LeftThumbProximal;
                case "leftThumbProximal": return HumanBodyBones.LeftThumbIntermediate;
                case "leftThumbDistal": return HumanBodyBones.LeftThumbDistal;
                case "leftIndexProximal": return HumanBodyBones.LeftIndexProximal;
                case "leftIndexIntermediate": return HumanBodyBones.LeftIndexIntermediate;
                case "leftIndexDistal": return HumanBodyBones.LeftIndexDistal;
                case "leftMiddleProximal": return HumanBodyBones.LeftMiddleProximal;
                case "leftMiddleIntermediate": return HumanBodyBones.LeftMiddleIntermediate;
                case "leftMiddleDistal": return HumanBodyBones.LeftMiddleDistal;
                case "leftRingProximal": return HumanBodyBones.LeftRingProximal;
                case "leftRingIntermediate": return HumanBodyBones.LeftRingIntermediate;
                case "leftRingDistal": return HumanBodyBones.LeftRingDistal;
                case "leftLittleProximal": return HumanBodyBones.LeftLittleProximal;
                case "leftLittleIntermediate": return HumanBodyBones.LeftLittleIntermediate;
                case "leftLittleDistal": return HumanBodyBones.LeftLittleDistal;
                case "leftUpperLeg": return HumanBodyBones.LeftUpperLeg;
                case "leftLowerLeg": return HumanBodyBones.LeftLowerLeg;
                case "leftFoot": return HumanBodyBones.LeftFoot;
                case "leftToes": return HumanBodyBones.LeftToes;
                case "rightShoulder": return HumanBodyBones.RightShoulder;
                case "rightUpperArm": return HumanBodyBones.RightUpperArm;
                case "rightLowerArm": return HumanBodyBones.RightLowerArm;
                case "rightHand": return HumanBodyBones.RightHand;
                case "rightThumbMetacarpal": return HumanBodyBones.RightThumbProximal;
                case "rightThumbProximal": return HumanBodyBones.RightThumbIntermediate;
                case "rightThumbDistal": return HumanBodyBones.RightThumbDistal;
                case "rightIndexProximal": return HumanBodyBones.RightIndexProximal;
                case "rightIndexIntermediate": return HumanBodyBones.RightIndexIntermediate;
                case "rightIndexDistal": return HumanBodyBones.RightIndexDistal;
                case "rightMiddleProximal": return HumanBodyBones.RightMiddleProximal;
                case "rightMiddleIntermediate": return HumanBodyBones.RightMiddleIntermediate;
                case "rightMiddleDistal": return HumanBodyBones.RightMiddleDistal;
                case "rightRingProximal": return HumanBodyBones.RightRingProximal;
                case "rightRingIntermediate": return HumanBodyBones.RightRingIntermediate;
                case "rightRingDistal": return HumanBodyBones.RightRingDistal;
                case "rightLittleProximal": return HumanBodyBones.RightLittleProximal;
                case "rightLittleIntermediate": return HumanBodyBones.RightLittleIntermediate;
                case "rightLittleDistal": return HumanBodyBones.RightLittleDistal;
                case "rightUpperLeg": return HumanBodyBones.RightUpperLeg;
                case "rightLowerLeg": return HumanBodyBones.RightLowerLeg;
                case "rightFoot": return HumanBodyBones.RightFoot;
                case "rightToes": return HumanBodyBones.RightToes;
                default: return HumanBodyBones.LastBone;
            }
        }
    }
}
