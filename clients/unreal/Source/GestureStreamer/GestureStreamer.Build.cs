using UnrealBuildTool;

public class GestureStreamer : ModuleRules
{
    public GestureStreamer(ReadOnlyTargetRules Target) : base(Target)
    {
        PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;
        PublicDependencyModuleNames.AddRange(new[] { "Core", "CoreUObject", "Engine", "LiveLinkInterface", "DeveloperSettings" });
        PrivateDependencyModuleNames.AddRange(new[] { "WebSockets" });
    }
}
