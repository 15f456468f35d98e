#pragma once
#include "../unreal.h"
