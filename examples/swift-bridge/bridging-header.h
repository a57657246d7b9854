#include ".build/SwiftBridgeCore.h"
#include ".build/pocket-bridge/pocket-bridge.h"
